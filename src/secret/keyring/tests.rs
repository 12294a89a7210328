use super::entry::{ended_at, valid_at};
use super::*;
use crate::secret::sealed::Secret as _;
use crate::testing::ManualClock;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn secret(byte: u8) -> SigningSecret {
    SigningSecret::from_bytes(&[byte; 24]).unwrap()
}

fn id(byte: u8) -> Arc<str> {
    Arc::clone(secret(byte).id())
}

fn ids(bytes: &[u8]) -> Vec<Arc<str>> {
    bytes.iter().copied().map(id).collect()
}

/// A keyring of secret 1, and its clock.
fn keyring() -> (Keyring, ManualClock) {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    (Keyring::new(secret(1)).with_clock(clock.clone()), clock)
}

#[test]
fn a_secret_ends_when_it_should() {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let keyring = Keyring::new(secret(1)).add_until(secret(2), at(100));
    for (now, valid) in [(99, 2), (100, 1), (101, 1)] {
        assert_eq!(
            valid_at(&keyring.shared.entries.load(), at(now)).count(),
            valid,
            "{now}"
        );
    }
}

#[test]
fn a_rotation_keeps_the_old_secret_for_a_while() {
    let (keyring, clock) = keyring();
    let clone = keyring.clone();
    keyring.rotate(secret(2), DAY);
    assert_eq!(clone.key_ids(), ids(&[1, 2]));
    clock.advance(DAY / 2);
    keyring.rotate(secret(3), DAY);
    clock.advance(DAY / 2 - Duration::from_secs(1));
    assert_eq!(clone.key_ids(), ids(&[1, 2, 3]), "an end is never put off");
    clock.advance(Duration::from_secs(1));
    assert_eq!(clone.key_ids(), ids(&[2, 3]));
    assert_eq!(
        ended_at(&clone.shared.entries.load(), clock.now()).len(),
        1,
        "it explains"
    );
    clock.advance(DAY);
    keyring.rotate(secret(4), Duration::ZERO);
    assert_eq!(
        (clone.key_ids(), clone.len()),
        (ids(&[4]), 3),
        "1 is forgotten"
    );
    keyring.rotate(secret(2), Duration::MAX);
    assert_eq!(
        clone.key_ids(),
        ids(&[2, 4]),
        "one that comes back is valid again"
    );
}

#[test]
fn what_leaked_is_forgotten_at_once() {
    let (keyring, _) = keyring();
    keyring.replace(secret(2));
    assert_eq!((keyring.key_ids(), keyring.len()), (ids(&[2]), 1));
}

#[test]
fn the_last_secret_does_not_end() {
    let (keyring, clock) = keyring();
    assert_eq!(keyring.expire(&id(1)), Err(ConfigError::LastSecret));
    assert_eq!(keyring.expire(&id(2)), Err(ConfigError::KeyIdUnknown));
    keyring.rotate(secret(2), DAY);
    assert_eq!(keyring.expire(&id(1)), Ok(()));
    assert_eq!(keyring.expire(&id(2)), Err(ConfigError::LastSecret));
    assert_eq!((keyring.key_ids(), keyring.len()), (ids(&[2]), 2));
    let ended = keyring.shared.entries.load();
    let ended = ended_at(&ended, clock.now());
    assert_eq!(ended[0].0.id(), &id(1), "it is kept to explain refusals");
}

#[cfg(feature = "receiver")]
#[test]
fn a_source_owns_what_it_lists() {
    let list = |bytes: &[u8]| bytes.iter().copied().map(secret).collect::<Vec<_>>();
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    let keyring = Keyring::listed(list(&[1, 2]), Arc::new(clock.clone())).unwrap();
    let read = |bytes: &[u8]| {
        let listed = keyring.list(list(bytes))?;
        Ok::<_, ConfigError>((listed.change.added, listed.change.ended, listed.leaked))
    };
    let none = || ids(&[]);
    assert_eq!(read(&[1, 2]), Ok((none(), none(), none())));
    assert_eq!(read(&[2, 3]), Ok((ids(&[3]), ids(&[1]), none())));
    assert_eq!(
        read(&[1, 3]),
        Ok((ids(&[1]), ids(&[2]), none())),
        "it comes back"
    );

    // What the app adds is its own, until the source lists it.
    keyring.rotate(secret(4), DAY);
    assert_eq!(read(&[3]), Ok((none(), ids(&[1]), none())));
    assert_eq!(keyring.key_ids(), ids(&[3, 4]));
    assert_eq!(read(&[3, 4]), Ok((none(), none(), none())));
    assert_eq!(read(&[3]), Ok((none(), ids(&[4]), none())));

    // An end that the app has set holds, for as long as the source lists the secret.
    assert_eq!(read(&[3, 5]), Ok((ids(&[5]), none(), none())));
    clock.advance(DAY);
    assert_eq!(read(&[3, 5]), Ok((none(), none(), none())));
    clock.advance(DAY * 3);
    assert_eq!(read(&[3, 5]), Ok((none(), none(), none())));
    assert_eq!(keyring.key_ids(), ids(&[5]));
    assert_eq!(read(&[3]), Err(ConfigError::LastSecret), "nothing changes");
    assert_eq!(keyring.key_ids(), ids(&[5]));

    // What leaked does not come back.
    keyring.replace(secret(6));
    assert_eq!(read(&[5]), Ok((none(), none(), ids(&[5]))));
    assert_eq!(keyring.key_ids(), ids(&[6]));
}

#[test]
fn one_that_nobody_else_has_is_read_as_it_is() {
    let (keyring, clock) = keyring();
    let fits = |byte| move |other: &SigningSecret| *other.id() == id(byte);
    let held = Held::from(keyring.clone());
    keyring.rotate(secret(2), Duration::ZERO);
    assert!(held.find(clock.now(), fits(2)).is_some());
    assert!(held.find(clock.now(), fits(1)).is_none());
    drop(held);
    let held = Held::from(keyring);
    assert!(matches!(&held, Held::Alone(_)));
    assert!(held.find(clock.now(), fits(2)).is_some());
    assert!(held.find(clock.now(), fits(1)).is_none());
    #[cfg(feature = "receiver")]
    {
        let listed = Keyring::listed(vec![secret(1)], Arc::new(clock)).unwrap();
        assert!(matches!(Held::from(listed), Held::Shared(_)));
    }
}

#[cfg(feature = "receiver")]
#[test]
fn what_was_ended_stays_so_when_the_clock_goes_back() {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH + DAY);
    let keyring = Keyring::listed(vec![secret(1), secret(2)], Arc::new(clock.clone())).unwrap();
    keyring.list(vec![secret(2)]).unwrap();
    keyring.rotate(secret(3), Duration::ZERO);
    keyring.rotate(secret(4), DAY);
    keyring.expire(&id(3)).unwrap();
    clock.set(SystemTime::UNIX_EPOCH);
    assert_eq!(keyring.key_ids(), ids(&[4]));
    let ended = ended_at(&keyring.shared.entries.load(), clock.now()).len();
    assert_eq!(ended, 3, "they explain all the same");
}

#[test]
fn it_shows_no_secret() {
    let (keyring, _) = keyring();
    let shown = format!("{keyring:?}");
    assert!(shown.contains(&*id(1)) && shown.len() < 60, "{shown}");
}
