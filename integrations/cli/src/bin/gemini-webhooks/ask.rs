//! Asking before something is changed.

use std::io::{self, IsTerminal as _, Write as _};

use crate::exit::{Exit, Failure};
use crate::shown;
use crate::stop::Stop;

/// Checks, before anything is done, that the user can be asked. `what` is the command.
pub(crate) fn can_ask(what: &str) -> Result<(), Failure> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        return Ok(());
    }
    Err(Failure::unusable(format!(
        "{what} asks before it does this, and there is no terminal: give --yes. Nothing was done"
    )))
}

/// Asks at the terminal. Anything but `y` or `yes` is no, which is an error. `Some` if Ctrl-C was pressed instead.
pub(crate) async fn confirm(stop: &mut Stop, question: &str) -> Result<Option<Exit>, Failure> {
    let mut stderr = anstream::stderr();
    write!(stderr, "{question} [y/N] ")
        .and_then(|()| stderr.flush())
        .map_err(|error| Failure::new(format!("cannot ask at the terminal: {error}")))?;
    let reading = tokio::task::spawn_blocking(|| io::stdin().lines().next());
    let Some(read) = stop.unless(reading).await else {
        shown::note("\nEnded by Ctrl-C. Nothing was done.");
        return Ok(Some(Exit::Stopped));
    };
    let line = read
        .map_err(|error| Failure::new(format!("cannot read the answer: {error}")))?
        .transpose()
        .map_err(|error| Failure::new(format!("cannot read the answer: {error}")))?;
    if is_yes(line.as_deref().unwrap_or_default()) {
        Ok(None)
    } else {
        Err(Failure::new("not confirmed: nothing was done"))
    }
}

fn is_yes(answer: &str) -> bool {
    let answer = answer.trim();
    answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, yes) in [
            ("y", true),
            ("Y\r", true),
            (" yes ", true),
            ("YES", true),
            ("", false),
            ("n", false),
            ("yess", false),
            ("ja", false),
        ] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
