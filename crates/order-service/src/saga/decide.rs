//! The pure core of the saga: what an event does to an order.

use std::time::Duration;

use crate::domain::{Item, MoneyError, Receipt, Shortage, priced};

/// What is known of an order when an event arrives; read under the order's row lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Undecided.
    Pending {
        /// No other reservation request for this order can be on its way: only one worker ever began, and its every
        /// request was answered or never left.
        sole_attempt: bool,
    },
    /// Decided: stock is held.
    Confirmed,
    /// Decided: stock is returned, or about to be.
    Cancelled {
        /// product-service has confirmed that nothing is held and nothing will be.
        released: bool,
    },
}

/// The call to product-service that brings an order forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `PUT /reservations/{id}`.
    Reserve,
    /// `DELETE /reservations/{id}`.
    Release,
}

/// What is to be done about an order; `None` when nothing is left.
pub fn next_call(state: State) -> Option<Call> {
    match state {
        State::Pending { .. } => Some(Call::Reserve),
        State::Cancelled { released: false } => Some(Call::Release),
        State::Confirmed | State::Cancelled { released: true } => None,
    }
}

/// What product-service said to a reservation request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// Stock is held at these prices.
    Held(Receipt),
    /// Not enough stock; nothing is held.
    Short(Vec<Shortage>),
    /// The lines at these positions name products that do not exist; nothing is held.
    UnknownProducts(Vec<usize>),
    /// The reservation was released before (a tombstone), or holds other lines; this order cannot get it any more.
    Refused,
    /// No answer, or none that this version understands. Stock may be held or may yet come to be.
    Unknown,
}

/// Something that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A reservation request ended.
    Reserved(Reservation),
    /// A release request ended; `true` when product-service confirmed it.
    Released(bool),
    /// The customer asks to cancel.
    CancelRequested {
        /// The order is young enough to be cancelled.
        in_window: bool,
    },
}

/// Why an order was not placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Not enough stock.
    Short(Vec<Shortage>),
    /// Lines at these positions name no product.
    UnknownProducts(Vec<usize>),
    /// The sum does not fit.
    TotalTooLarge,
    /// The customer cancelled, or product-service had released the reservation.
    Withdrawn,
}

/// What to write, in the transaction that holds the order's row lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Decide `confirmed` with these lines and this total; nothing is left to do.
    Confirm {
        /// The priced lines.
        items: Vec<Item>,
        /// Their sum in minor units.
        total_cents: i64,
        /// ISO 4217 code.
        currency: String,
    },
    /// Decide `cancelled`; the release becomes due at once.
    Cancel(Reason),
    /// Remove the order as if it had never been accepted, keeping only the answer: nothing is held and nothing can be.
    Forget(Reason),
    /// The release is confirmed: nothing is left to do.
    Finish,
    /// Try the same call again, later.
    RetryLater,
    /// The customer's wish comes too late.
    Refuse,
    /// Change nothing.
    Keep,
}

/// What `event` does to an order in `state` with lines `items`.
pub fn decide(state: State, items: &[Item], event: Event) -> Action {
    match (state, event) {
        (State::Pending { sole_attempt }, Event::Reserved(reservation)) => match reservation {
            Reservation::Held(receipt) => match priced(items, &receipt) {
                Ok((items, total_cents)) => Action::Confirm {
                    items,
                    total_cents,
                    currency: receipt.currency,
                },
                Err(MoneyError::TooLarge) => Action::Cancel(Reason::TotalTooLarge),
                Err(MoneyError::Mismatch) => Action::RetryLater,
            },
            Reservation::Short(short) => Action::Cancel(Reason::Short(short)),
            Reservation::UnknownProducts(positions) if sole_attempt => {
                Action::Forget(Reason::UnknownProducts(positions))
            }
            Reservation::UnknownProducts(positions) => {
                Action::Cancel(Reason::UnknownProducts(positions))
            }
            Reservation::Refused => Action::Cancel(Reason::Withdrawn),
            Reservation::Unknown => Action::RetryLater,
        },
        (State::Pending { .. }, Event::CancelRequested { .. }) => Action::Cancel(Reason::Withdrawn),
        (State::Confirmed, Event::CancelRequested { in_window: true }) => {
            Action::Cancel(Reason::Withdrawn)
        }
        (State::Confirmed, Event::CancelRequested { in_window: false }) => Action::Refuse,
        (State::Cancelled { released: false }, Event::Released(true)) => Action::Finish,
        (State::Cancelled { released: false }, Event::Released(false)) => Action::RetryLater,
        // Late and repeated news: another worker or the customer decided first. If that was `cancelled`, the release
        // that is due or done also covers a reservation that this event reports.
        (State::Confirmed | State::Cancelled { .. }, Event::Reserved(_))
        | (State::Cancelled { .. }, Event::CancelRequested { .. })
        | (
            State::Pending { .. } | State::Confirmed | State::Cancelled { released: true },
            Event::Released(_),
        ) => Action::Keep,
    }
}

/// How long to wait before attempt number `attempts + 1`: doubling from 250 ms to at most 30 s. Callers add jitter, so that
/// a herd of orders left by one outage spreads out.
pub fn back_off(attempts: i32) -> Duration {
    let doublings = attempts.clamp(1, 8) - 1;
    Duration::from_millis(250 << doublings).min(Duration::from_secs(30))
}

#[cfg(test)]
mod tests;
