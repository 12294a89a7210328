//! The ways to a server: a connection of the guard's own, one of the app's, or one to a cluster.

use std::sync::Arc;

use gemini_webhooks::replay::{GuardError, Reach};
use redis::aio::ConnectionManager;
#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, RedisResult, Value};

use crate::call::Call;
#[cfg(feature = "cluster")]
use crate::call::invoke;
use crate::error::{self, WRONGTYPE, explain, invalid_url, not_ours};
use crate::scripts::{NotOurs, Script};
use crate::settings::{called, client, settings};
use crate::single::Single;

#[derive(Clone)]
pub(crate) struct Link {
    server: Arc<str>,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Single(Arc<Single>),
    #[cfg(feature = "cluster")]
    Cluster(ClusterConnection),
}

impl Link {
    pub(crate) async fn connect(url: &str) -> Result<Self, GuardError> {
        let client = client(url).map_err(invalid_url)?;
        let server = called(client.get_connection_info().addr())?;
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), settings())
            .map_err(|error| explain(&server, error))?;
        let single = Single::new(server, manager, Some(client));
        single.open().await?;
        Ok(Self {
            server: Arc::clone(&single.server),
            way: Way::Single(Arc::new(single)),
        })
    }

    pub(crate) fn managed(manager: ConnectionManager) -> Self {
        let single = Single::new("Redis".to_owned(), manager, None);
        Self {
            server: Arc::clone(&single.server),
            way: Way::Single(Arc::new(single)),
        }
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn cluster(connection: ClusterConnection) -> Self {
        Self {
            server: "The Redis Cluster".into(),
            way: Way::Cluster(connection),
        }
    }

    /// What the server is called in messages.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn is_cluster(&self) -> bool {
        !matches!(self.way, Way::Single(_))
    }

    /// Runs a script on the server.
    pub(crate) async fn run(
        &self,
        script: &Script,
        call: &Call,
        reach: &Reach,
    ) -> Result<Value, GuardError> {
        let answer = match &self.way {
            Way::Single(single) => single.run(script, call, reach).await?,
            #[cfg(feature = "cluster")]
            Way::Cluster(connection) => {
                // The driver may send a request more than once. So also if the last answer is an
                // error, an earlier attempt may have been carried out.
                reach.sent();
                invoke(&mut connection.clone(), script, call).await
            }
        };
        answer.map_err(|error| {
            if error::has_code(&error, WRONGTYPE) {
                not_ours(&self.server, NotOurs::Value, &call.key)
            } else {
                explain(&self.server, error)
            }
        })
    }

    /// Asks the server, or each master of a cluster. What a server refuses is within its answer.
    pub(crate) async fn ask_each(
        &self,
        command: &Cmd,
    ) -> Result<Vec<(Arc<str>, RedisResult<Value>)>, GuardError> {
        match &self.way {
            Way::Single(single) => {
                let answer = single.ask(command).await?;
                Ok(vec![(Arc::clone(&self.server), answer)])
            }
            #[cfg(feature = "cluster")]
            Way::Cluster(connection) => ask_masters(connection.clone(), command)
                .await
                .map_err(|error| explain(&self.server, error)),
        }
    }
}

#[cfg(feature = "cluster")]
async fn ask_masters(
    mut connection: ClusterConnection,
    command: &Cmd,
) -> RedisResult<Vec<(Arc<str>, RedisResult<Value>)>> {
    use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};

    let masters = MultipleNodeRoutingInfo::AllMasters;
    let each = RoutingInfo::MultiNode((masters, Some(ResponsePolicy::Special)));
    let answers: Vec<(String, Value)> =
        redis::from_redis_value(connection.route_command(command.clone(), each).await?)?;
    let answers = answers.into_iter().map(|(address, answer)| {
        let server = format!("Redis at {address}");
        (server.into(), answer.extract_error())
    });
    Ok(answers.collect())
}
