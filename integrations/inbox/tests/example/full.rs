//! A disk without room: a file of the receiver's cannot grow beyond a limit.

use tokio::process::Command;

use crate::process::{EVENT, Example, clean, program};

/// In KiB. The tables take a part of it.
const LIMIT: u32 = 512;
const MOST: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_200_is_stored_and_the_rest_503() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("inbox.db").display());
    // The limit that it may lift itself. Without the signal, the write fails, as on a full disk.
    let script = format!("trap '' XFSZ; ulimit -S -f {LIMIT}; exec \"$0\" receive");
    let mut command = clean("/bin/bash");
    command.args(["-c", &script]).arg(program("axum_inbox"));
    let receiver = Example::run(command, true, &url).await;

    // Of 20 KB each.
    let event = EVENT.replacen('{', &format!("{{{}", " ".repeat(20_000)), 1);
    let (mut stored, mut refused) = (Vec::new(), Vec::new());
    while refused.len() < 5 {
        let id = format!("msg_{:03}", stored.len() + refused.len());
        match receiver.deliver(&id, &event).await {
            200 => stored.push(id),
            503 => refused.push(id),
            status => panic!("{id} is answered {status}"),
        }
        assert!(stored.len() < MOST, "there is room for {MOST} events");
    }
    assert!(stored.len() > 3, "only {stored:?}");

    let id = receiver.id().to_string();
    let lifted = Command::new("prlimit")
        .args(["--pid", &id, "--fsize=unlimited:"])
        .status()
        .await;
    assert!(lifted.unwrap().success());
    for id in &refused {
        assert_eq!(receiver.deliver(id, &event).await, 200, "{id}");
    }
    receiver.kill().await;

    let mut worker = Example::start("axum_inbox", Some("work"), &url).await;
    let mut seen = Vec::new();
    for _ in 0..stored.len() + refused.len() {
        seen.push(worker.next().await);
    }
    seen.sort();
    stored.extend(refused);
    stored.sort();
    assert_eq!(seen, stored);
    assert_eq!(worker.stop().await, [""; 0]);
}
