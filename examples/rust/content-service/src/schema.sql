CREATE TABLE IF NOT EXISTS posts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    author bigint NOT NULL,
    title text NOT NULL,
    likes bigint NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS posts_of_author ON posts (author, id);
CREATE TABLE IF NOT EXISTS follows (
    follower bigint NOT NULL,
    author bigint NOT NULL,
    PRIMARY KEY (follower, author)
);
