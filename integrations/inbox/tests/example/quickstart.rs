//! The example that shows the inbox without a set-up.

use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::process::program;

#[tokio::test]
async fn it_ends_well_and_says_so() {
    let mut command = Command::new(program("inbox_quickstart"));
    let output = command.env_clear().kill_on_drop(true).output();
    let output = timeout(Duration::from_secs(90), output).await;
    let output = output.expect("it ends").unwrap();
    let (said, failed) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(0), "{said}\n{failed}");
    assert!(
        said.contains("Seven are done, none is lost"),
        "{said}\n{failed}"
    );
}
