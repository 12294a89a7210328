//! What a delivery should be answered with.

use std::borrow::Cow;

use gemini_webhooks::{VerifyError, VerifyErrorKind};

use super::answer::{Answer, Outcome};

/// What a delivery should be answered with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// What the user asked for.
    pub(super) status: Option<u16>,
    /// What a receiver refuses such a delivery with.
    pub(super) refusal: Option<VerifyErrorKind>,
}

impl Wanted {
    pub(super) fn is_met_by(&self, answer: &Answer) -> bool {
        let Outcome::Answered(reply) = &answer.outcome else {
            return false;
        };
        match self.status {
            Some(status) => reply.status == status,
            None if self.refusal.is_some() => self.is_the_refusal(answer),
            None => answer.is_success(),
        }
    }

    /// What is said of an answer beside what it is.
    pub(super) fn remark(&self, answer: &Answer) -> Option<Cow<'static, str>> {
        let is_met = self.is_met_by(answer);
        if is_met && self.is_the_refusal(answer) {
            return Some("refused, as it should be".into());
        }
        match self.status {
            _ if is_met => None,
            Some(status) => matches!(answer.outcome, Outcome::Answered(_))
                .then(|| format!("--expect asks for {status}").into()),
            None if self.refusal.is_some() && answer.is_success() => {
                Some("accepted, though it should be refused".into())
            }
            None => None,
        }
    }

    /// Whether it is refused as a receiver of this crate refuses it. An app may give answers of its own, without a
    /// code.
    pub(super) fn is_the_refusal(&self, answer: &Answer) -> bool {
        let (Outcome::Answered(reply), Some(kind)) = (&answer.outcome, self.refusal) else {
            return false;
        };
        match &reply.code {
            Some(code) => code == kind.code(),
            None => reply.status == VerifyError::from(kind).status(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::answer::{Reply, Trouble};
    use super::*;

    #[test]
    fn which_answers_are_as_they_should_be_and_what_is_said_of_them() {
        let answer = |status, code: Option<&str>| Answer {
            outcome: Outcome::Answered(Reply {
                status,
                code: code.map(str::to_owned),
                ..Reply::default()
            }),
            took: Duration::ZERO,
        };
        let nothing = Answer {
            outcome: Outcome::None(Trouble::TimedOut, String::new()),
            took: Duration::ZERO,
        };
        let mismatch = Some(VerifyErrorKind::SignatureMismatch);
        let code = Some("signature_mismatch");
        let as_it_should = Some("refused, as it should be");
        for (name, status, refusal, answer, met, remark) in [
            ("accepted", None, None, answer(200, None), true, None),
            (
                "accepted otherwise",
                None,
                None,
                answer(204, None),
                true,
                None,
            ),
            ("refused", None, None, answer(400, code), false, None),
            ("no answer", None, None, nothing.clone(), false, None),
            ("the status", Some(404), None, answer(404, None), true, None),
            (
                "not the status",
                Some(404),
                None,
                answer(200, None),
                false,
                Some("--expect asks for 404"),
            ),
            (
                "no answer, with a status",
                Some(404),
                None,
                nothing.clone(),
                false,
                None,
            ),
            (
                "the refusal",
                None,
                mismatch,
                answer(400, code),
                true,
                as_it_should,
            ),
            (
                "the refusal, with another status",
                None,
                mismatch,
                answer(422, code),
                true,
                as_it_should,
            ),
            (
                "a refusal without a code",
                None,
                mismatch,
                answer(400, None),
                true,
                as_it_should,
            ),
            (
                "another refusal",
                None,
                mismatch,
                answer(400, Some("wrong_endpoint")),
                false,
                None,
            ),
            ("no route", None, mismatch, answer(404, None), false, None),
            (
                "accepted wrongly",
                None,
                mismatch,
                answer(200, None),
                false,
                Some("accepted, though it should be refused"),
            ),
            (
                "no answer, where a refusal should be",
                None,
                mismatch,
                nothing,
                false,
                None,
            ),
            (
                "the status counts alone",
                Some(200),
                mismatch,
                answer(200, None),
                true,
                None,
            ),
            (
                "the refusal, against the wish",
                Some(200),
                mismatch,
                answer(400, code),
                false,
                Some("--expect asks for 200"),
            ),
            (
                "the refusal, by the wish",
                Some(400),
                mismatch,
                answer(400, code),
                true,
                as_it_should,
            ),
            (
                "accepted, against the wish",
                Some(400),
                mismatch,
                answer(200, None),
                false,
                Some("--expect asks for 400"),
            ),
        ] {
            let wanted = Wanted { status, refusal };
            assert_eq!(wanted.is_met_by(&answer), met, "{name}");
            assert_eq!(wanted.remark(&answer).as_deref(), remark, "{name}");
        }
    }
}
