//! The events of a run, drawn from the seed before it begins.

use serde_json::{Map, Value, json};

use crate::clock::Moment;

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) dynamic: bool,
    pub(crate) name: &'static str,
    pub(crate) body: Vec<u8>,
    /// It is forged, and has the id of a genuine one.
    pub(crate) shares_id: bool,
    /// When it is sent first. Not in the order of the list: events overtake each other.
    pub(crate) due: Moment,
    /// What the sender does beside retrying.
    pub(crate) habit: Habit,
    pub(crate) poison: bool,
}

impl Event {
    pub(crate) fn is_forged(&self) -> bool {
        matches!(self.habit, Habit::Forged(_))
    }

    pub(crate) fn is_batch(&self) -> bool {
        self.name.starts_with("batch.")
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Habit {
    Plain,
    /// It is sent again so many milliseconds after it was answered.
    Again(u64),
    /// It is sent twice at the same time.
    Twice,
    /// Somebody sends it once who must not be believed.
    Forged(Forgery),
}

/// What is wrong with a delivery that must be refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Forgery {
    /// It was changed after it was signed.
    Body,
    /// Another key signed it.
    Stranger,
    Unsigned,
    /// It is older than a delivery may be, by each replica's clock.
    Stale,
    /// Its timestamp is too far in the future, by each replica's clock.
    Early,
    /// A dynamic webhook of another project: Google's key signed it.
    WrongEndpoint,
}

impl Forgery {
    pub(crate) const ALL: [Self; 6] = [
        Self::Body,
        Self::Stranger,
        Self::Unsigned,
        Self::Stale,
        Self::Early,
        Self::WrongEndpoint,
    ];
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// So many are genuine.
    pub(crate) events: usize,
    /// Events a second.
    pub(crate) rate: u32,
    /// Some events always make their handler fail, or their process abort.
    pub(crate) poison: bool,
}

pub(crate) fn draw(random: &mut fastrand::Rng, wish: Wish) -> Vec<Event> {
    let mut events = Vec::new();
    for number in 0..wish.events {
        let event = event(random, number, wish);
        if number % 100 == 0 {
            events.push(forged(random, number, &event));
        }
        events.push(event);
    }
    events
}

/// An event's twin. Half of them have the event's own id, and come just before it: they must not keep it from
/// its handler.
fn forged(random: &mut fastrand::Rng, number: usize, event: &Event) -> Event {
    let mut kinds = Forgery::ALL.into_iter().cycle();
    let forgery = kinds.nth(number / 100).unwrap_or(Forgery::Body);
    let shares_id = (number / 600).is_multiple_of(2);
    Event {
        id: if shares_id {
            event.id.clone()
        } else {
            id(random, number)
        },
        shares_id,
        dynamic: event.dynamic || forgery == Forgery::WrongEndpoint,
        due: event.due.before(200),
        habit: Habit::Forged(forgery),
        ..event.clone()
    }
}

fn id(random: &mut fastrand::Rng, number: usize) -> String {
    format!("msg_{:016x}{number:08x}", random.u64(..))
}

fn event(random: &mut fastrand::Rng, number: usize, wish: Wish) -> Event {
    let id = id(random, number);
    let (name, data) = payload(random, number);
    // Few, and at least one of each.
    let poison = match number {
        10 => Some("fails"),
        20 => Some("aborts"),
        _ if random.u32(..1_000) == 0 => Some("fails"),
        _ if random.u32(..5_000) == 0 => Some("aborts"),
        _ => None,
    };
    let poison = poison.filter(|_| wish.poison);
    let mut metadata = Map::new();
    metadata.insert("number".to_owned(), number.into());
    metadata.extend(poison.map(|poison| ("poison".to_owned(), poison.into())));
    let body = json!({
        "type": name,
        "version": "v1",
        "timestamp": "2026-01-22T12:00:00Z",
        "data": data,
        "user_metadata": metadata,
    });
    let habit = match random.u32(..100) {
        0..5 => Habit::Again(random.u64(..10_000)),
        5..7 => Habit::Twice,
        _ => Habit::Plain,
    };
    let steady = number as u64 * 1_000 / u64::from(wish.rate.max(1));
    let late = if random.u32(..5) == 0 {
        random.u64(..3_000)
    } else {
        0
    };
    Event {
        id,
        dynamic: random.bool(),
        name,
        shares_id: false,
        body: body.to_string().into_bytes(),
        due: Moment(steady + late),
        habit: if poison.is_some() {
            Habit::Plain
        } else {
            habit
        },
        poison: poison.is_some(),
    }
}

fn payload(random: &mut fastrand::Rng, number: usize) -> (&'static str, Value) {
    let file = format!("files/{number}");
    match random.u32(..6) {
        0 | 1 => (
            "batch.succeeded",
            json!({"id": format!("batches/{number}"), "output_file_uri": file}),
        ),
        2 => (
            "batch.failed",
            json!({"id": format!("batches/{number}"), "error_code": "INTERNAL", "error_message": "no"}),
        ),
        3 | 4 => (
            "interaction.completed",
            json!({"id": format!("v1_{number}")}),
        ),
        _ => (
            "video.generated",
            json!({"id": format!("models/veo/operations/{number}"), "file_name": file}),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_events_in_another_order() {
        let wish = Wish {
            events: 2_000,
            rate: 100,
            poison: true,
        };
        let draw = |seed| super::draw(&mut fastrand::Rng::with_seed(seed), wish);
        let (events, again) = (draw(5), draw(5));
        assert!(
            events
                .iter()
                .zip(&again)
                .all(|(a, b)| a.id == b.id && a.body == b.body && a.due == b.due)
        );
        assert_ne!(events[0].id, draw(6)[0].id);

        let overtaken = events.windows(2).filter(|pair| pair[1].due < pair[0].due);
        assert!(overtaken.count() > 100);
        let share = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
        assert_eq!(share(|event| !event.is_forged()), 2_000);
        assert_eq!(share(Event::is_forged), 20);
        assert_eq!(share(|event| event.shares_id), 12);
        assert!((900..1_100).contains(&share(|event| event.dynamic)));
        assert!(share(|event| matches!(event.habit, Habit::Again(_))) > 50);
        assert!(share(|event| event.habit == Habit::Twice) > 10);
        assert!(share(|event| event.poison) >= 2);
    }
}
