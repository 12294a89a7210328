//! Where a secret is kept, and that it is not lost.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Stdio;

use gemini_webhooks::testing::google::Call;

use super::held::Held;
use super::run::run;
use super::stopping::{Running, calling};
use super::{Rig, URI};

const CREATE: [&str; 4] = ["create", "--uri", URI, "--secret-to"];

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_is_for_its_owner_alone() {
    let rig = Rig::start().await;
    let ended = rig.run(&[&CREATE[..], &["secret"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("The secret is in secret."),
        "{}",
        ended.stderr
    );
    let metadata = fs::metadata(rig.folder.path().join("secret")).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o600);
    let secret = rig.file("secret");
    assert_eq!((secret.lines().count(), secret.ends_with('\n')), (1, true));
    assert_eq!(rig.files(), ["secret"]);
    // Nor does anything else show it.
    for output in [&ended.stdout, &ended.stderr] {
        assert!(!output.contains(secret.trim_end()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_replaced_only_by_force_and_at_once() {
    let rig = Rig::start().await;
    let id = rig.create("secret");
    let path = rig.folder.path().join("secret");
    let (first, inode) = (rig.file("secret"), fs::metadata(&path).unwrap().ino());
    let refused = rig.run(&["rotate", &id, "--secret-to", "secret"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("secret exists"),
        "{}",
        refused.stderr
    );
    assert_eq!(rig.file("secret"), first);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let ended = rig.run(&["rotate", &id, "--secret-to", "secret", "--force"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("had mode 640"), "{}", ended.stderr);
    let replaced = fs::metadata(&path).unwrap();
    assert_ne!(replaced.ino(), inode, "the file was written in place");
    assert_eq!(replaced.mode() & 0o777, 0o600);
    assert_ne!(rig.file("secret"), first);

    // The file that a link leads to, not the link.
    symlink("secret", rig.folder.path().join("link")).unwrap();
    let second = rig.file("secret");
    let ended = rig.run(&["rotate", &id, "--secret-to", "link", "--force"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        fs::symlink_metadata(rig.folder.path().join("link"))
            .unwrap()
            .is_symlink()
    );
    assert_ne!(rig.file("secret"), second);
    assert_eq!(rig.files(), ["link", "secret"]);

    // A call that fails leaves it as it is.
    let third = rig.file("secret");
    let failed = rig.run(&["rotate", "nope", "--secret-to", "secret", "--force"]);
    assert_eq!(failed.code, Some(1));
    assert_eq!((rig.file("secret"), rig.files().len()), (third, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_can_be_the_apps_and_the_variable_too() {
    let rig = Rig::start_an_hour_ago().await;
    let id = rig.create("secret");
    let script = r#"export WEBHOOK_SIGNING_SECRET="$(cat secret)"
        exec "$0" ensure --uri "$1" --json"#;
    let mut command = rig.command(&[]);
    let program = command.get_program().to_owned();
    let variables: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command = std::process::Command::new("sh");
    command
        .args(["-c", script])
        .arg(program)
        .arg(URI)
        .envs(variables);
    command.current_dir(rig.folder.path());
    let ended = run(command, b"");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains(&id) && ended.stdout.contains("at_hand"),
        "{}",
        ended.stdout
    );
}

/// Runs a command whose answer comes only after `disturb` was called.
async fn disturbed(rig: &Rig, call: Call, arguments: &[&str], disturb: impl FnOnce()) -> Running {
    let held = Held::start(&rig.google).await;
    let mut command = rig.command(arguments);
    command.env("GEMINI_API_URL", held.url());
    let mut running = calling(rig, command, call).await;
    disturb();
    held.open();
    running.end().await;
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_without_a_place_is_left_beside_it() {
    let rig = Rig::start().await;
    let path = rig.folder.path().join("secret");
    let ended = disturbed(
        &rig,
        Call::WebhooksCreate,
        &[&CREATE[..], &["secret"]].concat(),
        || {
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        },
    )
    .await;
    let stderr = ended.stderr();
    assert_eq!(ended.code(), Some(1), "{stderr}");
    let files = rig.files();
    let left = files
        .iter()
        .find(|name| name.starts_with(".gemini-webhooks-"))
        .unwrap();
    assert!(stderr.contains(left.as_str()), "{stderr}");
    let secret = rig.file(left);
    assert!(secret.starts_with("whsec_") && !stderr.contains(secret.trim_end()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_kept_is_lost_and_not_logged() {
    let rig = Rig::start().await;
    let folder = rig.folder.path().join("inner");
    fs::create_dir(&folder).unwrap();
    let ended = disturbed(
        &rig,
        Call::WebhooksCreate,
        &[&CREATE[..], &["inner/secret"]].concat(),
        || {
            fs::remove_dir_all(&folder).unwrap();
        },
    )
    .await;
    let stderr = ended.stderr();
    assert_eq!(ended.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("inner/secret cannot be written") && stderr.contains("is lost"),
        "{stderr}"
    );
    assert!(!stderr.contains("whsec_"), "{stderr}");
    let id = rig.json(&["list", "--json"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        stderr.contains(&format!("gemini-webhooks rotate {id} --secret-to FILE")),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_nobody_reads_is_no_success() {
    let rig = Rig::start().await;
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = rig.command(&[&CREATE[..], &["-"]].concat());
    command
        .stdout(full)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("standard output") && stderr.contains("is lost"),
        "{stderr}"
    );
}
