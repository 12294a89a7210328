//! Files that are not as they should be.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use gemini_webhooks::rotation::SecretFile;
use gemini_webhooks::{Keyring, NotReady, WebhookReceiver};
use tokio::time::sleep;

use super::{POLL, Secrets, ids, lines, text};

fn accepted(keyring: &Keyring) -> Vec<String> {
    let ids = keyring.key_ids();
    ids.iter().map(ToString::to_string).collect()
}

/// What is done to the file, which secrets are accepted then, and what is said of it.
type Case = (&'static str, fn(&Secrets), &'static [usize], &'static str);

const CASES: &[Case] = &[
    (
        "empty",
        |secrets| secrets.write(&[]),
        &[1, 2],
        "it lists no secret",
    ),
    (
        "comments only",
        |secrets| fs::write(secrets.path(), "# soon\n\n").unwrap(),
        &[1, 2],
        "it lists no secret",
    ),
    (
        "cut within its first line",
        |secrets| fs::write(secrets.path(), &text(1)[..20]).unwrap(),
        &[1, 2],
        "line 1: the signing secret",
    ),
    (
        "cut within its second line",
        |secrets| fs::write(secrets.path(), format!("{}\n{}", text(1), &text(2)[..20])).unwrap(),
        &[1],
        "line 2: the signing secret",
    ),
    (
        "binary",
        |secrets| fs::write(secrets.path(), [0xff, 0, 0x9f, b'\n', 0xfe]).unwrap(),
        &[1, 2],
        "line 1: the signing secret",
    ),
    (
        "a bad line among good ones",
        |secrets| fs::write(secrets.path(), format!("{}export X\n", lines(&[1, 3]))).unwrap(),
        &[1, 3],
        "line 3: the signing secret",
    ),
    (
        "huge",
        |secrets| fs::write(secrets.path(), vec![b'\n'; 64 * 1024 + 1]).unwrap(),
        &[1, 2],
        "more than 64 KiB",
    ),
    (
        "too many",
        |secrets| secrets.write(&(1..=17).collect::<Vec<_>>()),
        &[1, 2],
        "17 secrets, and at most 16",
    ),
    (
        "removed",
        |secrets| fs::remove_file(secrets.path()).unwrap(),
        &[1, 2],
        "No such file",
    ),
    (
        "a folder",
        |secrets| {
            fs::remove_file(secrets.path()).unwrap();
            fs::create_dir(secrets.path()).unwrap();
        },
        &[1, 2],
        "it is not a file",
    ),
    (
        "a pipe that nobody writes",
        |secrets| {
            fs::remove_file(secrets.path()).unwrap();
            let made = Command::new("mkfifo").arg(secrets.path()).status().unwrap();
            assert!(made.success());
        },
        &[1, 2],
        "it is not a file",
    ),
    (
        "a link to nothing",
        |secrets| {
            fs::remove_file(secrets.path()).unwrap();
            symlink("nothing", secrets.path()).unwrap();
        },
        &[1, 2],
        "No such file",
    ),
    (
        "one that fails while it is read",
        |secrets| {
            fs::remove_file(secrets.path()).unwrap();
            symlink("/proc/self/mem", secrets.path()).unwrap();
        },
        &[1, 2],
        "Input/output error",
    ),
];

#[tokio::test(start_paused = true)]
async fn a_file_that_is_wrong_keeps_what_was_good() {
    for (name, spoil, stay, said) in CASES {
        let secrets = Secrets::new(&[1, 2]);
        let keyring = Keyring::follow(SecretFile::new(secrets.path()))
            .await
            .unwrap();
        let receiver = WebhookReceiver::builder()
            .keyring(keyring.clone())
            .build()
            .unwrap();
        assert!(receiver.ready().await.is_ok(), "{name}");

        spoil(&secrets);
        sleep(POLL).await;
        let found = accepted(&keyring);
        assert_eq!(found, ids(stay), "{name}");
        let error = receiver.ready().await.unwrap_err();
        assert!(matches!(error, NotReady::Secrets(_)), "{name}: {error}");
        let error = error.to_string();
        assert!(error.contains(said), "{name}: {error}");
        assert!(!error.contains(&text(1)[8..16]), "{name}: {error}");

        let path = secrets.path();
        if path.is_dir() {
            fs::remove_dir(path).unwrap();
        }
        secrets.replace(&[2, 3]);
        sleep(POLL).await;
        let found = accepted(&keyring);
        assert_eq!(found, ids(&[2, 3]), "{name}");
        assert!(receiver.ready().await.is_ok(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_without_a_secret_is_not_followed() {
    for (name, spoil, _, said) in CASES {
        let secrets = Secrets::new(&[1, 2]);
        spoil(&secrets);
        match Keyring::follow(SecretFile::new(secrets.path())).await {
            // It has another secret that is good.
            Ok(keyring) => {
                let keyring: Keyring = keyring;
                let receiver = WebhookReceiver::builder().keyring(keyring).build().unwrap();
                let error = receiver.ready().await.unwrap_err().to_string();
                assert!(error.contains(said), "{name}: {error}");
            }
            Err(error) => assert!(error.to_string().contains(said), "{name}: {error}"),
        }
    }
}

/// As Kubernetes changes what it mounts: the file is a link into a folder, which is a link too.
#[tokio::test(start_paused = true)]
async fn links_that_are_swapped() {
    let secrets = Secrets::new(&[1]);
    let folder = secrets.0.path();
    let version = |name: &str, numbers: &[usize]| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("secrets"), lines(numbers)).unwrap();
        symlink(name, folder.join("data_tmp")).unwrap();
        fs::rename(folder.join("data_tmp"), folder.join("data")).unwrap();
    };
    fs::remove_file(secrets.path()).unwrap();
    symlink("data/secrets", secrets.path()).unwrap();
    version("one", &[1]);
    let keyring: Keyring = Keyring::follow(SecretFile::new(secrets.path()))
        .await
        .unwrap();
    version("two", &[1, 2]);
    fs::remove_dir_all(folder.join("one")).unwrap();
    sleep(POLL).await;
    assert_eq!(keyring.key_ids().len(), 2);
}

/// What is read is always one of the two files, and never a mixture.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_a_thousand_times_a_second() {
    let secrets = Secrets::new(&[1, 2]);
    let every = Duration::from_millis(100);
    let keyring: Keyring = Keyring::follow(SecretFile::new(secrets.path()))
        .every(every)
        .await
        .unwrap();
    for round in 0..2_000 {
        secrets.replace(if round % 2 == 0 { &[2, 3] } else { &[1, 2] });
        sleep(Duration::from_millis(1)).await;
        let found = accepted(&keyring);
        assert!(found == ids(&[1, 2]) || found == ids(&[2, 3]), "{found:?}");
    }
    secrets.replace(&[4]);
    while keyring.key_ids().len() != 1 {
        sleep(Duration::from_millis(10)).await;
    }
}

/// A source that panics, hangs, or comes back.
#[tokio::test(start_paused = true)]
async fn a_source_that_fails() {
    use gemini_webhooks::rotation::{SecretFuture, SecretSet, SecretSource};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[derive(Debug, Default)]
    struct Manager(Arc<AtomicUsize>);

    impl SecretSource for Manager {
        fn fetch(&self) -> SecretFuture<'_> {
            let mode = self.0.load(SeqCst);
            assert!(mode != 5, "of the source, before its future");
            Box::pin(async move {
                match mode {
                    1 => panic!("of the source"),
                    2 => std::future::pending().await,
                    3 => Err("the manager refuses".into()),
                    mode => Ok(SecretSet::from_iter([super::secret(1 + mode)])),
                }
            })
        }
    }

    let mode = Arc::new(AtomicUsize::new(0));
    let keyring = Keyring::follow(Manager(Arc::clone(&mode))).await.unwrap();
    let receiver = WebhookReceiver::builder()
        .keyring(keyring.clone())
        .build()
        .unwrap();
    for (next, said) in [
        (1, "it panicked"),
        (2, "longer than 10s"),
        (3, "the manager refuses"),
        (5, "it panicked"),
    ] {
        mode.store(next, SeqCst);
        sleep(POLL * 2).await;
        let error = receiver.ready().await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert_eq!(keyring.key_ids().len(), 1);
    }
    mode.store(4, SeqCst);
    sleep(POLL * 2).await;
    assert!(receiver.ready().await.is_ok());
    assert_eq!(*keyring.key_ids()[0], *super::secret(5).key_id());
}

/// Nothing ends a reading that never yields. Whoever asks is told of it all the same.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_not_read_any_more() {
    let secrets = Secrets::new(&[1]);
    let clock = gemini_webhooks::testing::ManualClock::default();
    let following = Keyring::follow(SecretFile::new(secrets.path())).clock(clock.clone());
    let keyring: Keyring = following.await.unwrap();
    let receiver = WebhookReceiver::builder().keyring(keyring).build().unwrap();
    clock.advance(Duration::from_secs(30));
    assert!(receiver.ready().await.is_ok());
    clock.advance(Duration::from_secs(1));
    let error = receiver.ready().await.unwrap_err().to_string();
    assert!(error.contains("was not read for 31s"), "{error}");
    sleep(POLL).await;
    assert!(receiver.ready().await.is_ok());
}

#[tokio::test]
async fn secrets_that_have_all_ended() {
    let clock = gemini_webhooks::testing::ManualClock::default();
    let end = gemini_webhooks::Clock::now(&clock) + super::DAY;
    let keyring = Keyring::until(super::secret(1), end);
    let receiver = WebhookReceiver::builder()
        .keyring(keyring)
        .clock(clock.clone())
        .build()
        .unwrap();
    assert!(receiver.ready().await.is_ok());
    clock.advance(super::DAY);
    let error = receiver.ready().await.unwrap_err();
    assert!(matches!(error, NotReady::Ended(_)), "{error}");
    assert_eq!(error.to_string(), "every signing secret has ended");
}

#[test]
fn a_runtime_that_ends() {
    let secrets = Secrets::new(&[1]);
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let following = Keyring::follow(SecretFile::new(secrets.path()));
    let keyring: Keyring = runtime().block_on(async { following.await }).unwrap();
    let receiver = WebhookReceiver::builder().keyring(keyring).build().unwrap();
    let error = runtime()
        .block_on(receiver.ready())
        .unwrap_err()
        .to_string();
    assert!(error.contains("not followed any more"), "{error}");
}

/// What is wrong is said once, and all of it.
#[tokio::test(start_paused = true)]
async fn a_file_whose_secrets_have_all_ended() {
    let secrets = Secrets::new(&[1]);
    let keyring: Keyring = Keyring::follow(SecretFile::new(secrets.path()))
        .await
        .unwrap();
    let receiver = WebhookReceiver::builder()
        .keyring(keyring.clone())
        .build()
        .unwrap();
    keyring.rotate(super::secret(2), Duration::ZERO);
    secrets.write(&[2, 1]);
    sleep(POLL).await;
    assert!(receiver.ready().await.is_ok());
    fs::write(secrets.path(), format!("nonsense\n{}", lines(&[1]))).unwrap();
    sleep(POLL).await;
    let error = receiver.ready().await.unwrap_err().to_string();
    assert_eq!(error.matches("the source of secrets").count(), 1, "{error}");
    assert!(
        error.contains("line 1") && error.contains("no valid secret left"),
        "{error}"
    );
    let found = accepted(&keyring);
    assert_eq!(found, ids(&[2]));
}

#[tokio::test(start_paused = true)]
async fn another_clock_is_no_other_keyring() {
    let secrets = Secrets::new(&[1]);
    let keyring: Keyring = Keyring::follow(SecretFile::new(secrets.path()))
        .await
        .unwrap();
    let keyring = keyring.with_clock(gemini_webhooks::testing::ManualClock::default());
    secrets.write(&[1, 2]);
    sleep(POLL).await;
    assert_eq!(keyring.key_ids().len(), 2);
}
