//! A model of the whole shop, small enough to run through thousands of bad days: one order, several workers that crash
//! anywhere, requests that are lost, answered late or delivered after everybody stopped waiting for them.

use proptest::prelude::*;

use super::*;
use crate::domain::ReceiptItem;

const QUANTITY: u32 = 2;

fn items() -> Vec<Item> {
    vec![Item {
        product_id: "1".into(),
        name: None,
        unit_price_cents: None,
        quantity: QUANTITY,
    }]
}

fn receipt() -> Receipt {
    let line = ReceiptItem {
        product_id: "1".into(),
        name: "Laptop".into(),
        unit_price_cents: 99_999,
        quantity: QUANTITY,
    };
    Receipt {
        items: vec![line],
        currency: "EUR".into(),
    }
}

/// product-service's side of the contract.
#[derive(Debug)]
struct Shelf {
    stock: u32,
    known: bool,
    held: bool,
    tombstone: bool,
}

impl Shelf {
    fn put(&mut self) -> Reservation {
        if self.tombstone {
            Reservation::Refused
        } else if self.held {
            Reservation::Held(receipt())
        } else if !self.known {
            Reservation::UnknownProducts(vec![0])
        } else if self.stock < QUANTITY {
            Reservation::Short(Vec::new())
        } else {
            self.stock -= QUANTITY;
            self.held = true;
            Reservation::Held(receipt())
        }
    }

    fn delete(&mut self) {
        if self.held {
            self.stock += QUANTITY;
        }
        self.held = false;
        self.tombstone = true;
    }
}

/// order-service's side: the row, and how often it was claimed. `None` once forgotten.
#[derive(Debug)]
struct Row {
    state: Option<State>,
    claims: u32,
    decisions: Vec<&'static str>,
}

impl Row {
    fn apply(&mut self, event: Event, in_doubt: bool) {
        let Some(mut state) = self.state else { return };
        if let State::Pending { sole_attempt } = &mut state {
            *sole_attempt = self.claims == 1 && !in_doubt;
        }
        match decide(state, &items(), event) {
            Action::Confirm { total_cents, .. } => {
                assert_eq!(total_cents, 199_998);
                self.decisions.push("confirmed");
                self.state = Some(State::Confirmed);
            }
            Action::Cancel(_) => {
                self.decisions.push("cancelled");
                self.state = Some(State::Cancelled { released: false });
            }
            Action::Forget(_) => {
                self.decisions.push("forgotten");
                self.state = None;
            }
            Action::Finish => self.state = Some(State::Cancelled { released: true }),
            Action::RetryLater | Action::Refuse | Action::Keep => {}
        }
    }
}

/// What befalls one worker's turn.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// The call is made and its answer written.
    Done,
    /// The worker dies before the call.
    DiesBefore,
    /// The call is made, the worker dies before it writes.
    DiesAfter,
    /// The call never arrives; the worker writes that it does not know.
    Lost,
    /// The call arrives after the worker gave up.
    Late,
    /// The call never arrives at first, the worker asks again at once and is answered.
    Repeated,
    /// The worker's answer is written after another worker's whole turn.
    Overtaken,
    /// The customer cancels.
    Cancel {
        in_window: bool,
    },
    /// Somebody fills or empties the shelf, or lists the product.
    Restock(u32),
    Listed,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Done),
        1 => Just(Fate::DiesBefore),
        1 => Just(Fate::DiesAfter),
        1 => Just(Fate::Lost),
        2 => Just(Fate::Late),
        1 => Just(Fate::Repeated),
        2 => Just(Fate::Overtaken),
        1 => any::<bool>().prop_map(|in_window| Fate::Cancel { in_window }),
        1 => (0..5_u32).prop_map(Fate::Restock),
        1 => Just(Fate::Listed),
    ]
}

struct World {
    row: Row,
    shelf: Shelf,
    late: u32,
}

impl World {
    fn turn(&mut self, fate: Fate, first: bool) {
        match fate {
            Fate::Cancel { in_window } => {
                return self.row.apply(Event::CancelRequested { in_window }, false);
            }
            Fate::Restock(stock) => {
                self.shelf.stock += stock;
                return;
            }
            Fate::Listed => {
                self.shelf.known = true;
                return;
            }
            _ => {}
        }
        let Some(call) = self.row.state.and_then(next_call) else {
            return;
        };
        if !first {
            self.row.claims += 1;
        }
        match (fate, call) {
            (Fate::DiesBefore, _) => {}
            (Fate::DiesAfter, Call::Reserve) => drop(self.shelf.put()),
            (Fate::DiesAfter, Call::Release) => self.shelf.delete(),
            (Fate::Lost, Call::Reserve) => {
                self.row.apply(Event::Reserved(Reservation::Unknown), true);
            }
            (Fate::Late, Call::Reserve) => {
                self.row.apply(Event::Reserved(Reservation::Unknown), true);
                self.late += 1;
            }
            (Fate::Lost | Fate::Late, Call::Release) => {
                self.row.apply(Event::Released(false), false);
            }
            (Fate::Repeated, Call::Reserve) => {
                self.late += 1;
                let answer = self.shelf.put();
                self.row.apply(Event::Reserved(answer), true);
            }
            (Fate::Overtaken, Call::Reserve) => {
                let answer = self.shelf.put();
                self.turn(Fate::Done, false);
                self.row.apply(Event::Reserved(answer), false);
            }
            (_, Call::Reserve) => {
                let answer = self.shelf.put();
                self.row.apply(Event::Reserved(answer), false);
            }
            (_, Call::Release) => {
                self.shelf.delete();
                self.row.apply(Event::Released(true), false);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_crashes_and_however_late_requests_arrive_stock_and_orders_agree(
        stock in 0..5_u32,
        known in prop::bool::weighted(0.8),
        fates in prop::collection::vec(fate(), 0..12),
        late_after in 0..12_usize,
    ) {
        let shelf = Shelf { stock, known, held: false, tombstone: false };
        let row = Row { state: Some(State::Pending { sole_attempt: true }), claims: 1, decisions: Vec::new() };
        let mut world = World { row, shelf, late: 0 };
        let mut owed = stock;
        for (index, &fate) in fates.iter().enumerate() {
            if let Fate::Restock(more) = fate {
                owed += more;
            }
            world.turn(fate, index == 0);
            if index >= late_after {
                while world.late > 0 {
                    world.shelf.put();
                    world.late -= 1;
                }
            }
        }
        // Recovery finishes; then the last stragglers arrive.
        while world.row.state.and_then(next_call).is_some() {
            world.turn(Fate::Done, false);
        }
        while world.late > 0 {
            world.shelf.put();
            world.late -= 1;
        }

        let held = if world.shelf.held { QUANTITY } else { 0 };
        prop_assert_eq!(world.shelf.stock + held, owed, "no unit is made or lost");
        match world.row.state {
            Some(State::Confirmed) => prop_assert!(world.shelf.held, "a confirmed order holds its stock"),
            Some(State::Cancelled { released: true }) => {
                prop_assert!(!world.shelf.held, "a cancelled order holds nothing");
                prop_assert!(world.shelf.tombstone, "and never will");
            }
            None => prop_assert!(!world.shelf.held, "a forgotten order holds nothing"),
            other => prop_assert!(false, "recovery left {other:?}"),
        }
        let decisions = world.row.decisions;
        prop_assert!(
            matches!(decisions.as_slice(), ["confirmed" | "cancelled" | "forgotten"] | ["confirmed", "cancelled"]),
            "decided once, at most cancelled afterwards: {:?}", decisions
        );
    }

    #[test]
    fn the_back_off_grows_and_stays_within_bounds(attempts in -3..i32::MAX) {
        let wait = back_off(attempts);
        prop_assert!(wait >= Duration::from_millis(250) && wait <= Duration::from_secs(30));
        prop_assert!(back_off(attempts.saturating_add(1)) >= wait);
    }
}

#[test]
fn an_unknown_product_is_forgotten_only_while_no_other_request_can_be_on_its_way() {
    let unknown = || Event::Reserved(Reservation::UnknownProducts(vec![0]));
    let reason = Reason::UnknownProducts(vec![0]);
    let alone = State::Pending { sole_attempt: true };
    assert_eq!(
        decide(alone, &items(), unknown()),
        Action::Forget(reason.clone())
    );
    let doubtful = State::Pending {
        sole_attempt: false,
    };
    assert_eq!(
        decide(doubtful, &items(), unknown()),
        Action::Cancel(reason)
    );
}

#[test]
fn an_old_confirmed_order_stays_confirmed_and_cancelling_twice_changes_nothing() {
    let late = Event::CancelRequested { in_window: false };
    assert_eq!(
        decide(State::Confirmed, &items(), late.clone()),
        Action::Refuse
    );
    assert_eq!(
        decide(State::Cancelled { released: true }, &items(), late),
        Action::Keep
    );
}
