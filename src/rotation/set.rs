//! What a source lists.

use crate::pasted;
use crate::secret::{Secret, SigningSecret};

/// So many lines are named.
const FAULTS: usize = 4;

/// The secrets that a [`SecretSource`](super::SecretSource) lists, and what was wrong with others.
#[derive(Clone, Debug)]
pub struct SecretSet<S = SigningSecret> {
    pub(super) secrets: Vec<S>,
    pub(super) faults: Vec<String>,
}

impl<S: Secret> SecretSet<S> {
    /// Reads a text with one secret a line. Empty lines do not count, nor does anything from a `#` on that
    /// begins a line or follows white space.
    ///
    /// A line that is no secret is passed over. It is logged by its number and what is wrong with it, without
    /// its text, and makes [`ready`](crate::WebhookReceiver::ready) fail. So does a signing secret of an
    /// unusual length, which is accepted: it may have been cut.
    ///
    /// ```
    /// use gemini_webhooks::SigningSecret;
    /// use gemini_webhooks::rotation::SecretSet;
    ///
    /// let set = SecretSet::<SigningSecret>::from_lines(
    ///     "# since Monday
    ///      whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
    ///      whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD  # until Tuesday",
    /// );
    /// assert_eq!(set.secrets().len(), 2);
    /// ```
    #[must_use]
    pub fn from_lines(text: &str) -> Self {
        let (mut secrets, mut faults) = (Vec::<S>::new(), Vec::new());
        let mut more = 0;
        for (number, line) in (1..).zip(text.lines()) {
            let line = pasted::trim(without_comment(line));
            if line.is_empty() {
                continue;
            }
            let fault = match line.parse::<S>() {
                Ok(secret) => {
                    let doubt = secret.doubt();
                    if !secrets.iter().any(|known| known.id() == secret.id()) {
                        secrets.push(secret);
                    }
                    doubt
                }
                Err(mistake) => Some(mistake.to_string()),
            };
            match fault {
                Some(fault) if faults.len() < FAULTS => {
                    faults.push(format!("line {number}: {fault}"));
                }
                Some(_) => more += 1,
                None => {}
            }
        }
        if more > 0 {
            faults.push(format!("and {more} lines more"));
        }
        Self { secrets, faults }
    }
}

impl<S> SecretSet<S> {
    /// Returns the secrets.
    #[must_use]
    pub fn secrets(&self) -> &[S] {
        &self.secrets
    }
}

impl<S> FromIterator<S> for SecretSet<S> {
    fn from_iter<I: IntoIterator<Item = S>>(secrets: I) -> Self {
        Self {
            secrets: secrets.into_iter().collect(),
            faults: Vec::new(),
        }
    }
}

fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| {
        let before = line
            .get(..*at)
            .and_then(|before| before.chars().next_back());
        before.is_none_or(char::is_whitespace)
    };
    match line.match_indices('#').find(begins) {
        Some((at, _)) => line.get(..at).unwrap_or(line),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_lists() {
        const ONE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        const TWO: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        for (text, secrets, faults) in [
            (String::new(), 0, &[][..]),
            ("\n\r\n# nothing\n".to_owned(), 0, &[]),
            (ONE.to_owned(), 1, &[]),
            (format!("\u{feff}{ONE}\r\n{TWO}\r\n"), 2, &[]),
            (format!("  {ONE} # old\n#{TWO}\n\t# {TWO}"), 1, &[]),
            (format!("{ONE}\n{TWO}x\n{TWO}"), 2, &["line 2"]),
            (format!("{ONE}\n{TWO}\n").repeat(20), 2, &[]),
            (format!("{ONE}\n{}", &TWO[..34]), 2, &["line 2"]),
            (
                "x\n".repeat(30_000),
                0,
                &["line 1", "line 2", "line 3", "line 4", "and 29"],
            ),
            (
                format!("\n{ONE}#old\nWEBHOOK={TWO}"),
                0,
                &["line 2", "line 3"],
            ),
            (
                "\0\u{fffd}\u{fffd}\n\u{fffd}".to_owned(),
                0,
                &["line 1", "line 2"],
            ),
        ] {
            let set = SecretSet::<SigningSecret>::from_lines(&text);
            let found: Vec<_> = set
                .faults
                .iter()
                .filter_map(|fault| fault.get(..6))
                .collect();
            assert_eq!((set.secrets.len(), &*found), (secrets, faults), "{text:?}");
            let shown = set.faults.concat();
            assert!(
                !shown.contains("MfKQ") && !shown.contains("C2FV"),
                "{shown}"
            );
        }
    }
}
