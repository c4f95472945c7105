-- Orders. Written by the runtime role, which has DML only; this file is run by the owner role.
-- Identifiers compare byte by byte (COLLATE "C"), so that no locale decides what is equal or how a page is ordered.

CREATE TABLE orders (
    id          uuid        PRIMARY KEY,
    customer_id text        COLLATE "C" NOT NULL CHECK (length(customer_id) BETWEEN 1 AND 64),
    -- SHA-256 of the browser session's id: a copy of this table opens nobody's session.
    session     bytea       CHECK (length(session) = 32),
    status      text        COLLATE "C" NOT NULL CHECK (status IN ('pending', 'confirmed', 'cancelled')),
    -- A snapshot: products and quantities at the insert, names and prices added by the decision. Never queried by content.
    items       jsonb       NOT NULL CHECK (jsonb_typeof(items) = 'array'),
    total_cents bigint      CHECK (total_cents >= 0),
    currency    text        COLLATE "C",
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    -- When the saga's next step is due; NULL once nothing is left to do. Whoever works on an order moves it into the
    -- future first: that is the lease, and a worker that dies simply lets it come due again.
    due_at      timestamptz,
    -- How often the current step was begun; drives the back-off.
    attempts    integer     NOT NULL DEFAULT 0,

    CONSTRAINT undecided_orders_are_due   CHECK (status <> 'pending' OR due_at IS NOT NULL),
    CONSTRAINT confirmed_orders_are_done  CHECK (status <> 'confirmed' OR due_at IS NULL),
    CONSTRAINT confirmed_orders_are_priced CHECK (status <> 'confirmed' OR (total_cents IS NOT NULL AND currency IS NOT NULL))
);

-- Lists are newest first; ids are UUIDv7, so their order is the order of creation.
CREATE INDEX orders_by_customer ON orders (customer_id, id DESC);
CREATE INDEX orders_by_session  ON orders (session, id DESC) WHERE session IS NOT NULL;
-- What recovery looks for; empty when all is well.
CREATE INDEX orders_due ON orders (due_at) WHERE due_at IS NOT NULL;

-- One row for each request that may be repeated. The primary key is what decides a race between copies.
CREATE TABLE idempotency_keys (
    -- 'customer:<id>', or 'session:<hash>' for a cart's checkout.
    scope       text        COLLATE "C" NOT NULL,
    key         text        COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 128),
    -- SHA-256 of the request's meaning: the same key with another request is an error.
    fingerprint bytea       NOT NULL CHECK (length(fingerprint) = 32),
    -- No foreign key: an order that was refused outright is forgotten, its answer is not.
    order_id    uuid        NOT NULL,
    -- The answer that every copy gets; NULL while the order is undecided.
    answer      jsonb,
    created_at  timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (scope, key)
);

CREATE UNIQUE INDEX idempotency_keys_by_order ON idempotency_keys (order_id);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
