//! The contract, one file a subject.

mod admin;
mod carts;
mod edges;
mod headers;
mod hidden;
mod idempotency;
mod orders;
mod paging;
mod products;
mod refusals;

use crate::Area;

/// Every area, in the order they are tried.
#[must_use]
pub fn all() -> Vec<Area> {
    vec![
        headers::area(),
        products::area(),
        paging::area(),
        orders::area(),
        refusals::area(),
        idempotency::area(),
        carts::area(),
        edges::area(),
        hidden::area(),
        admin::area(),
    ]
}

/// An [`Area`] from lines of `"statement" => function`; `admin` before `=>` marks what needs the token.
macro_rules! area {
    ($name:literal: $($statement:literal $($admin:ident)? => $function:ident),+ $(,)?) => {
        $crate::Area {
            name: $name,
            checks: vec![$($crate::Check {
                name: $statement,
                needs_admin: $crate::areas::area!(@ $($admin)?),
                run: |shop| Box::pin($function(shop)),
            }),+],
        }
    };
    (@) => { false };
    (@ admin) => { true };
}
use area;
