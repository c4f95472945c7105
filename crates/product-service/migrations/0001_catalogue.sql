-- The catalogue. Text compares bytewise (COLLATE "C"), so that pages have one order whatever locale the server has.

-- One row: the revision counts every change that a list page can show, and says whether the seed was ever loaded.
CREATE TABLE catalogue (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    revision  bigint NOT NULL DEFAULT 1,
    seeded_at timestamptz
);
INSERT INTO catalogue DEFAULT VALUES;

-- version:     counts catalogue changes; what an editor must hold to change a product.
-- revision:    counts every change, stock included; caches are ordered by it, so rows are never removed (deleted_at).
-- updated_at:  time of the last catalogue change; stock does not move it, so (version, stock) decides the whole answer.
-- search_text: name, category and description, lower-cased by the service (the server's locale may know ASCII only).
CREATE TABLE products (
    id          text COLLATE "C" PRIMARY KEY CHECK (octet_length(id) BETWEEN 1 AND 64),
    name        text COLLATE "C" NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 800),
    description text COLLATE "C" NOT NULL CHECK (octet_length(description) <= 8000),
    category    text COLLATE "C" NOT NULL CHECK (octet_length(category) BETWEEN 1 AND 256),
    search_text text COLLATE "C" NOT NULL,
    price_cents bigint NOT NULL CHECK (price_cents >= 0),
    stock       bigint NOT NULL CHECK (stock >= 0),
    version     bigint NOT NULL DEFAULT 1,
    revision    bigint NOT NULL DEFAULT 1,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    deleted_at  timestamptz
) WITH (fillfactor = 80); -- room for stock changes to stay on their page (HOT)

-- Pages of one category; pages of all walk the primary key.
CREATE INDEX products_by_category ON products (category, id) WHERE deleted_at IS NULL;

-- Every stock change made by hand, kept so that a repeated request is answered and not applied again.
CREATE TABLE stock_movements (
    id          text COLLATE "C" PRIMARY KEY CHECK (octet_length(id) BETWEEN 1 AND 64),
    product_id  text COLLATE "C" NOT NULL REFERENCES products (id),
    delta       bigint NOT NULL CHECK (delta <> 0),
    stock_after bigint NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
