//! How the guard's own connection is made.

use std::time::Duration;

use gemini_webhooks::replay::GuardError;
#[cfg(feature = "tls-rustls")]
use gemini_webhooks::replay::GuardErrorKind;
use redis::aio::ConnectionManagerConfig;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Client, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, ProtocolVersion, RedisError,
    RedisResult,
};

#[cfg(feature = "tls-rustls")]
use crate::error;

/// What the server at an address is called in messages.
///
/// # Errors
///
/// If the address is with TLS, and there can be none.
pub(crate) fn called(address: &ConnectionAddr) -> Result<String, GuardError> {
    let server = format!("Redis at {address}");
    if !matches!(address, ConnectionAddr::TcpTls { .. }) {
        return Ok(server);
    }
    // The driver would panic at each attempt to connect.
    #[cfg(feature = "tls-rustls")]
    if std::panic::catch_unwind(rustls::ClientConfig::builder).is_err() {
        return Err(error::of_message(
            GuardErrorKind::Broken,
            format!(
                "{server} is asked for with TLS, and rustls cannot tell by which crypto provider. Call \
                 `rustls::crypto::aws_lc_rs::default_provider().install_default()`, or the same of `ring`, \
                 before you connect."
            ),
        ));
    }
    Ok(format!("{server} (TLS)"))
}

/// The client of a guard that has a connection of its own.
pub(crate) fn client(url: &str) -> RedisResult<Client> {
    let info = url.into_connection_info()?.set_tcp_settings(tcp());
    let parsed = redis::parse_redis_url(url);
    let is_socket = matches!(info.addr(), ConnectionAddr::Unix(_));
    if let Some(parsed) = &parsed
        && !is_socket
    {
        // The first part of a password that is not encoded is taken for a port, which is shown.
        let after_host = [Some(parsed.path()), parsed.query(), parsed.fragment()];
        if after_host
            .into_iter()
            .flatten()
            .any(|part| part.contains('@'))
        {
            return Err(RedisError::from((
                ErrorKind::InvalidClientConfig,
                "there is an @ behind the host, as if the password were not encoded",
            )));
        }
    }
    let names_protocol =
        parsed.is_some_and(|url| url.query_pairs().any(|(name, _)| name == "protocol"));
    if names_protocol {
        return Client::open(info);
    }
    // With RESP3 the driver connects anew when it loses a connection, not when it is next used.
    let redis = info.redis_settings().clone();
    let redis = redis.set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(redis))
}

pub(crate) fn settings() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        // The receiver limits its patience, and awaits the real answer in the background.
        .set_response_timeout(None)
        .set_connection_timeout(Some(Duration::from_secs(2)))
        // Each request that finds no connection has another attempt made. So one that was lost while
        // nobody asks is soon found again, and the attempts of many requests are not more than those
        // of one.
        .set_number_of_retries(1)
        .set_min_delay(Duration::from_millis(100))
        .set_pipeline_buffer_size(1024)
}

/// A network that swallows everything is noticed within seconds: what is sent must be acknowledged
/// within five, and an idle connection is probed.
fn tcp() -> TcpSettings {
    const PATIENCE: Duration = Duration::from_secs(5);
    let keepalive = TcpKeepalive::new().with_time(PATIENCE);
    #[cfg(any(
        target_os = "android",
        target_os = "linux",
        target_os = "macos",
        windows
    ))]
    let keepalive = keepalive.with_interval(Duration::from_secs(2));
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive);
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let settings = settings.set_user_timeout(PATIENCE);
    settings
}
