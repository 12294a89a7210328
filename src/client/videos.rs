//! Videos, by the operations that make them.

use std::fmt;

use reqwest::Method;
use serde_json::Value;

use super::error::ClientError;
use super::http::{Call, Http, segment};
use super::names::VideoState;
use super::retry::Repeat;
use super::service::{WebhookService, value};
use crate::event::{JobId, JobKind};

const GET_VIDEO: &str = "videos.get";

/// Reads the state of videos.
///
/// [`WebhookService::videos`](super::WebhookService::videos) returns it. It starts none: Google's newer SDKs
/// take no `webhook_config` for a video ([`Job::Video`](super::Job::Video) puts one into a request of yours).
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use gemini_webhooks::client::{VideoState, WebhookService};
///
/// let videos = WebhookService::from_env()?.videos();
/// let video = videos.get("models/veo-3.1/operations/op123").await?;
/// if video.state() == VideoState::Succeeded {
///     println!("{:?}", video.json().get("response"));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Videos {
    http: Http,
}

impl WebhookService {
    /// Returns a client for videos, which reads what became of them.
    #[must_use]
    pub fn videos(&self) -> Videos {
        Videos {
            http: self.http().clone(),
        }
    }
}

impl Videos {
    /// Returns the video that the operation of this name makes: `models/…/operations/…`, as events have it.
    ///
    /// Google's Python SDK 3.6.1 asks at `v1`, as this client does by default; earlier versions asked at
    /// `v1beta` ([`api_version`](super::WebhookServiceBuilder::api_version)).
    ///
    /// # Errors
    ///
    /// [`ClientError`], of the kind [`InvalidArgument`](super::ClientErrorKind::InvalidArgument) and without a
    /// status if the name has another form.
    pub async fn get(&self, name: &str) -> Result<Video, ClientError> {
        let body = self.http.send(get_video(name)?).await?;
        Video::read(value(GET_VIDEO, &body)?)
    }
}

pub(super) fn get_video(name: &str) -> Result<Call, ClientError> {
    let segments: Vec<&str> = name.split('/').collect();
    let ["models", model, "operations", id] = segments.as_slice() else {
        return Err(ClientError::refused(
            GET_VIDEO,
            format!("{name:?} is not the name of an operation, `models/…/operations/…`"),
        ));
    };
    let model = segment(GET_VIDEO, "the model", model)?;
    let id = segment(GET_VIDEO, "the id of the operation", id)?;
    Ok(Call {
        name: GET_VIDEO,
        method: Method::GET,
        path: format!("models/{model}/operations/{id}"),
        query: Vec::new(),
        body: None,
        repeat: Repeat::Harmless,
    })
}

/// A video, as the service describes the operation that makes it.
///
/// `Debug` shows its name and state only.
#[derive(Clone, PartialEq)]
pub struct Video {
    name: String,
    json: Value,
}

impl Video {
    /// Returns the name of the operation, `models/…/operations/…`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the state: `done` and `error` of the operation tell it.
    #[must_use]
    pub fn state(&self) -> VideoState {
        match (self.is_done(), self.json.get("error")) {
            (false, _) => VideoState::Running,
            (true, None | Some(Value::Null)) => VideoState::Succeeded,
            (true, Some(_)) => VideoState::Failed,
        }
    }

    /// Returns whether the operation has ended, with success or not.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let done = self.json.get("done").and_then(Value::as_bool);
        done.unwrap_or_default()
    }

    /// Returns which job it is. `None` if it has no name, or a longer one than Google's.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        JobId::new(JobKind::Video, &self.name)
    }

    /// Returns why there is no video.
    #[must_use]
    pub fn error_message(&self) -> Option<&str> {
        self.json.pointer("/error/message")?.as_str()
    }

    /// Returns everything that the service says, as JSON. The video is in its member `response`.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    pub(super) fn read(json: Value) -> Result<Self, ClientError> {
        match json.get("name").and_then(Value::as_str) {
            Some(name) => Ok(Self {
                name: name.to_owned(),
                json,
            }),
            None => Err(ClientError::unreadable(
                GET_VIDEO,
                "the answer has no `name`, so it is not an operation",
            )),
        }
    }
}

impl fmt::Debug for Video {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Video")
            .field("name", &self.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn which_names_are_of_an_operation() {
        for (name, path) in [
            ("models/veo/operations/7", Some("models/veo/operations/7")),
            (
                "models/a?b/operations/7#c",
                Some("models/a%3Fb/operations/7%23c"),
            ),
            ("operations/7", None),
            ("7", None),
            ("", None),
            ("models/veo/operations/", None),
            ("models//operations/7", None),
            ("models/../operations/7", None),
            ("models/veo/operations/..", None),
            ("models/veo/operations/7/x", None),
            ("/models/veo/operations/7", None),
            ("tunedModels/veo/operations/7", None),
        ] {
            match (get_video(name), path) {
                (Ok(call), Some(path)) => assert_eq!(call.path, path, "{name}"),
                (Err(error), None) => assert_eq!(error.status(), None, "{name}"),
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_an_operation_tells() {
        for (json, state, message) in [
            (json!({"name": "n"}), VideoState::Running, None),
            (
                json!({"name": "n", "done": false}),
                VideoState::Running,
                None,
            ),
            (
                json!({"name": "n", "done": true, "response": {}}),
                VideoState::Succeeded,
                None,
            ),
            (
                json!({"name": "n", "done": true, "error": null}),
                VideoState::Succeeded,
                None,
            ),
            (
                json!({"name": "n", "done": true, "error": {"code": 13, "message": "no"}}),
                VideoState::Failed,
                Some("no"),
            ),
        ] {
            let video = Video::read(json.clone()).unwrap();
            assert_eq!((video.state(), video.name()), (state, "n"), "{json}");
            assert_eq!(video.error_message(), message, "{json}");
            assert_eq!(video.json(), &json);
        }
        let error = Video::read(json!({"done": true})).unwrap_err();
        assert!(error.to_string().contains("no `name`"), "{error}");
    }
}
