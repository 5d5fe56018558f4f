module github.com/nova/novawire

go 1.26.0
