-- Stock held for orders. A row is never removed: 'released' is the tombstone that refuses a reservation arriving late.
CREATE TABLE reservations (
    order_id    uuid PRIMARY KEY,
    state       text NOT NULL CHECK (state IN ('held', 'released')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz
);

-- What was taken, with name and price as they were then: the answer to a repeated request.
CREATE TABLE reservation_items (
    order_id         uuid NOT NULL REFERENCES reservations (order_id),
    product_id       text COLLATE "C" NOT NULL REFERENCES products (id),
    name             text NOT NULL,
    unit_price_cents bigint NOT NULL,
    quantity         bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, product_id)
);
