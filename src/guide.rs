#![doc = include_str!("guide/links.md")]
#![doc = include_str!("../docs/README.md")]

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/getting-started.md")]
#[doc = "\n\nIn this documentation: [`WebhookReceiver`], [`GeminiEvent`], [`EventKind`], [`Delivery`], [`VerifyLayer`], [`VerifyWebhook`]."]
pub mod getting_started {}

// Its examples call Google, or the SDKs of others: `tests/documented` runs them against a mock.
#[doc = include_str!("guide/links.md")]
#[cfg_attr(not(doctest), doc = include_str!("../docs/registering-a-webhook.md"))]
#[doc = "\n\nIn this documentation: [`client`](crate::client)."]
pub mod registering_a_webhook {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/dynamic-webhooks.md")]
#[doc = "\n\nIn this documentation: [`WebhookReceiverBuilder`], [`EndpointToken`], [`jwks`]."]
pub mod dynamic_webhooks {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("guide/pictures.md")]
#[doc = include_str!("../docs/each-event-once.md")]
#[doc = "\n\nIn this documentation: [`replay`], [`MemoryGuard`], [`Delivery`], [`WebhookReceiverBuilder`]."]
pub mod each_event_once {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/answering-at-once.md")]
#[doc = "\n\nIn this documentation: [`Delivery`], [`GeminiEvent`]."]
pub mod answering_at_once {}

// Its examples need the inbox: `integrations/inbox/tests/readme` runs them.
#[doc = include_str!("guide/links.md")]
#[cfg_attr(not(doctest), doc = include_str!("../docs/no-event-missed.md"))]
#[doc = "\n\nIn this documentation: [`client`](crate::client), [`WebhookReceiverBuilder`]."]
pub mod no_event_missed {}

// Its example needs the client of NATS: `tests/engines` runs it.
#[doc = include_str!("guide/links.md")]
#[cfg_attr(not(doctest), doc = include_str!("../docs/other-engines.md"))]
#[doc = "\n\nIn this documentation: [`Delivery`], [`GeminiEvent`]."]
pub mod other_engines {}

// One of its examples stores a secret by the app's own function: `tests/documented` runs them all.
#[doc = include_str!("guide/links.md")]
#[cfg_attr(not(doctest), doc = include_str!("../docs/rotating-secrets.md"))]
#[doc = "\n\nIn this documentation: [`rotation`](crate::rotation), [`SigningSecret`], [`Keyring`], [`EndpointToken`], [`WebhookReceiverBuilder`]."]
pub mod rotating_secrets {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/command-line.md")]
#[doc = "\n\nIn this documentation: [`client`](crate::client), [`testing`](crate::testing)."]
pub mod command_line {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/production.md")]
#[doc = "\n\nIn this documentation: [`WebhookReceiver`], [`WebhookReceiverBuilder`], [`EndpointToken`]."]
pub mod production {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/metrics.md")]
#[doc = "\n\nIn this documentation: [`WebhookReceiver`]."]
pub mod metrics {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/refused-deliveries.md")]
#[doc = "\n\nIn this documentation: [`VerifyError`], [`VerifyErrorKind`], [`ConfigError`]."]
pub mod refused_deliveries {}

// Its examples are tests. As a doctest they would be left out: `tests/documented` runs them.
#[doc = include_str!("guide/links.md")]
#[cfg_attr(not(doctest), doc = include_str!("../docs/testing.md"))]
#[doc = "\n\nIn this documentation: [`testing`](crate::testing)."]
pub mod testing {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/recipes.md")]
#[doc = "\n\nIn this documentation: [`VerifyLayer`], [`VerifyWebhook`], [`tower`], [`axum`], [`actix_web`]."]
pub mod recipes {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("guide/pictures.md")]
#[doc = include_str!("../docs/a-delivery.md")]
#[doc = "\n\nIn this documentation: [`VerifyErrorKind`], [`VerifyLayer`], [`VerifyWebhook`], [`Verifier`]."]
pub mod a_delivery {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/configuration.md")]
#[doc = "\n\nIn this documentation: [`WebhookReceiverBuilder`], [`ConfigError`]."]
pub mod configuration {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/held-under-faults.md")]
pub mod held_under_faults {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/performance.md")]
pub mod performance {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/protocol.md")]
#[doc = "\n\nIn this documentation: [`event`], [`Scheme`]."]
pub mod protocol {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/writing-an-adapter.md")]
#[doc = "\n\nIn this documentation: [`adapter`], [`DeliveryHeaders`]."]
pub mod writing_an_adapter {}

#[doc = include_str!("guide/links.md")]
#[doc = include_str!("../docs/writing-a-guard.md")]
#[doc = "\n\nIn this documentation: [`ReplayGuard`], [`replay`], [`replay_suite`](crate::testing::replay_suite)."]
pub mod writing_a_guard {}
