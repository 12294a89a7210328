//! Which call a request is.

use hyper::Method;

/// A call of the API, to name it in [`MockGoogle::fail`](super::MockGoogle::fail).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// `POST /{v}/webhooks`
    WebhooksCreate,
    /// `GET /{v}/webhooks/{id}`
    WebhooksGet,
    /// `GET /{v}/webhooks`
    WebhooksList,
    /// `PATCH /{v}/webhooks/{id}`
    WebhooksUpdate,
    /// `DELETE /{v}/webhooks/{id}`
    WebhooksDelete,
    /// `POST /{v}/webhooks/{id}:rotateSigningSecret`
    WebhooksRotate,
    /// `POST /{v}/webhooks/{id}:ping`
    WebhooksPing,
    /// `POST /{v}/models/{model}:batchGenerateContent`
    BatchesCreate,
    /// `GET /{v}/batches/{id}`
    BatchesGet,
    /// `GET /{v}/batches`
    BatchesList,
    /// `POST /{v}/interactions`
    InteractionsCreate,
    /// `GET /{v}/interactions/{id}`
    InteractionsGet,
    /// `POST /{v}/triggers`
    TriggersCreate,
    /// `POST /v1beta/models/{model}:predictLongRunning`
    VideosCreate,
    /// `GET /{v}/models/{model}/operations/{id}`
    VideosGet,
    /// `GET /.well-known/jwks.json`
    Keys,
}

/// The call that a request is, and the id or the model that it is about.
pub(super) fn route<'p>(method: &Method, path: &'p str) -> Option<(Call, &'p str)> {
    if path == "/.well-known/jwks.json" {
        return (method == Method::GET).then_some((Call::Keys, ""));
    }
    let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
    if !matches!(version, "v1" | "v1beta") {
        return None;
    }
    let of = |call, subject| Some((call, subject));
    let segments: Vec<&str> = rest.split('/').collect();
    match (method.as_str(), segments.as_slice()) {
        ("POST", ["webhooks"]) => of(Call::WebhooksCreate, ""),
        ("GET", ["webhooks"]) => of(Call::WebhooksList, ""),
        ("POST", ["webhooks", named]) => match named.rsplit_once(':')? {
            (id, "rotateSigningSecret") => of(Call::WebhooksRotate, id),
            (id, "ping") => of(Call::WebhooksPing, id),
            _ => None,
        },
        ("GET", ["webhooks", id]) => of(Call::WebhooksGet, id),
        ("PATCH", ["webhooks", id]) => of(Call::WebhooksUpdate, id),
        ("DELETE", ["webhooks", id]) => of(Call::WebhooksDelete, id),
        ("POST", ["models", named]) => match named.rsplit_once(':')? {
            (model, "batchGenerateContent") => of(Call::BatchesCreate, model),
            // Never seen elsewhere.
            (model, "predictLongRunning") if version == "v1beta" => of(Call::VideosCreate, model),
            _ => None,
        },
        ("GET", ["models", _, "operations", _]) => of(Call::VideosGet, rest),
        ("GET", ["batches"]) => of(Call::BatchesList, ""),
        ("GET", ["batches", id]) => of(Call::BatchesGet, id),
        ("POST", ["interactions"]) => of(Call::InteractionsCreate, ""),
        ("GET", ["interactions", id]) => of(Call::InteractionsGet, id),
        ("POST", ["triggers"]) => of(Call::TriggersCreate, ""),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_is() {
        use Call::*;
        for (method, path, expected) in [
            ("GET", "/v1/webhooks", Some((WebhooksList, ""))),
            ("PATCH", "/v1beta/webhooks/a1", Some((WebhooksUpdate, "a1"))),
            ("POST", "/v1/webhooks/a1:ping", Some((WebhooksPing, "a1"))),
            (
                "POST",
                "/v1/webhooks/a1:rotateSigningSecret",
                Some((WebhooksRotate, "a1")),
            ),
            (
                "POST",
                "/v1/models/gemini-3:batchGenerateContent",
                Some((BatchesCreate, "gemini-3")),
            ),
            (
                "GET",
                "/v1beta/models/veo/operations/7",
                Some((VideosGet, "models/veo/operations/7")),
            ),
            (
                "GET",
                "/v1/models/veo/operations/7",
                Some((VideosGet, "models/veo/operations/7")),
            ),
            ("GET", "/.well-known/jwks.json", Some((Keys, ""))),
            // What Google's guide shows, or showed, and the service does not have.
            ("POST", "/v1/webhooks/a1/rotate_secret", None),
            ("POST", "/v1/models/gemini-3:batchCreate", None),
            ("POST", "/v1/models/veo:predictLongRunning", None),
            ("GET", "/v1/interactions", None),
            ("PUT", "/v1/webhooks/a1", None),
            ("GET", "/v2/webhooks", None),
            ("GET", "/v1/webhooks/", Some((WebhooksGet, ""))),
            ("GET", "/v1/webhooks/a1/b", None),
            ("GET", "/", None),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(route(&method, path), expected, "{method} {path}");
        }
    }
}
