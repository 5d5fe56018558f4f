module github.com/nova/novawire/tools/release

go 1.26.0

require github.com/CycloneDX/cyclonedx-go v0.12.0

require github.com/google/go-cmp v0.7.0
