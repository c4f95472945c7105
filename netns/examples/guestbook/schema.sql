-- Runs at every start, so it says what there should be.
CREATE TABLE IF NOT EXISTS entries (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text NOT NULL CHECK (length(text) BETWEEN 1 AND 200),
    at   timestamptz NOT NULL DEFAULT now()
);
