//! user-service: `GET /feed/{user}` is the template of an instrumented handler.
//!
//! It asks Redis for a cached feed, PostgreSQL whom the user follows, content-service
//! for their posts (gRPC) and for what is trending (HTTP). Redis is a cache: without it
//! the feed is slower. Without the others the answer is 503.

use std::error::Error;
use std::time::Duration;
use std::{env, process::ExitCode};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Json, Router, routing::get};
use content_api::ListRequest;
use content_api::content_client::ContentClient;
use deadpool_postgres::{Manager, Pool, PoolError};
use nova_telemetry::client;
use redis::AsyncTypedCommands;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Config, NoTls};
use tonic::transport::{Channel, Endpoint};
use tracing::{error, instrument};

/// How long a feed stays in the cache.
const FRESH_SECONDS: u64 = 5;

/// How long the service waits for Redis, for content-service and for PostgreSQL.
const REDIS_LIMIT: Duration = Duration::from_millis(250);
const CALL_LIMIT: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let telemetry = nova_telemetry::init();
    match serve(telemetry).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(telemetry: nova_telemetry::Telemetry) -> Result<(), Box<dyn Error>> {
    let app = Router::new().route("/feed/{user}", get(feed)).with_state(Backends::from_environment()?);
    let address = env::var("LISTEN").unwrap_or_else(|_| "0.0.0.0:8080".into());
    Ok(nova_telemetry::serve(&address, app, telemetry).await?)
}

/// What the handler calls. Each connects when it is first used, and again when the
/// connection is lost, so the service starts in any order.
#[derive(Clone)]
struct Backends {
    cache: ConnectionManager,
    database: Pool,
    content: ContentClient<Channel>,
    http: reqwest::Client,
    content_url: String,
}

impl Backends {
    fn from_environment() -> Result<Self, Box<dyn Error>> {
        let variable = |name: &str, want: &str| env::var(name).map_err(|_| format!("{name} is not set: want {want}"));
        // The parsers' messages may hold the password.
        let cache = redis::Client::open(variable("REDIS_URL", "redis://HOST:6379")?)
            .map_err(|_| "REDIS_URL is no URL of Redis")?;
        let limits = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(REDIS_LIMIT))
            .set_response_timeout(Some(REDIS_LIMIT))
            .set_number_of_retries(0); // the next request connects again
        let database = variable("DATABASE_URL", "postgres://USER:PASSWORD@HOST/nova_content")?;
        let mut database: Config = database.parse().map_err(|_| "DATABASE_URL is no URL of PostgreSQL")?;
        database.connect_timeout(CALL_LIMIT).tcp_user_timeout(CALL_LIMIT);
        let content_url = variable("CONTENT_SERVICE", "http://HOST:PORT")?;
        let channel =
            Endpoint::new(content_url.clone())?.timeout(CALL_LIMIT).connect_timeout(CALL_LIMIT).connect_lazy();
        Ok(Self {
            cache: ConnectionManager::new_lazy_with_config(cache, limits)?,
            database: Pool::builder(Manager::new(database, NoTls)).build()?,
            content: ContentClient::new(channel),
            http: reqwest::Client::builder().timeout(CALL_LIMIT).build()?,
            content_url,
        })
    }

    #[instrument(skip_all)]
    async fn cached(&self, key: &str) -> Option<Feed> {
        let mut cache = self.cache.clone();
        let text = client::redis("GET", cache.get(key)).await.ok().flatten()?;
        serde_json::from_str(&text).ok()
    }

    #[instrument(skip_all)]
    async fn remember(&self, key: &str, feed: &Feed) {
        let mut cache = self.cache.clone();
        if let Ok(text) = serde_json::to_string(feed) {
            // Counted and logged by the client; the answer does not depend on it.
            let _ = client::redis("SETEX", cache.set_ex(key, text, FRESH_SECONDS)).await;
        }
    }

    #[instrument(name = "select follows", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    async fn followed(&self, user: i64) -> Result<Vec<i64>, PoolError> {
        let query = "SELECT author FROM follows WHERE follower = $1 ORDER BY author";
        let rows = self.database.get().await?.query(query, &[&user]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// `err` makes an error the status of the span and an ERROR line with the trace id.
    #[instrument(skip_all, err(Debug))]
    async fn build(&self, user: i64) -> Result<Feed, Box<dyn Error + Send + Sync>> {
        let authors = self.followed(user).await?;
        let mut content = self.content.clone();
        let listed = client::grpc("content.v1.Content/List", ListRequest { authors }, async move |request| {
            content.list(request).await
        })
        .await?;
        let answer = client::http(self.http.get(format!("{}/trending", self.content_url))).await?.error_for_status()?;
        let trending: Option<Trending> = answer.json().await?;
        Ok(Feed {
            posts: listed.posts.into_iter().map(|post| post.title).collect(),
            trending: trending.map(|post| post.title),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Feed {
    posts: Vec<String>,
    trending: Option<String>,
}

#[derive(Deserialize)]
struct Trending {
    title: String,
}

/// The template: arguments that matter become fields of the span, everything that is
/// called below becomes its children, and each log line knows the trace.
#[instrument(skip(backends))]
async fn feed(State(backends): State<Backends>, Path(user): Path<i64>) -> Result<Json<Feed>, StatusCode> {
    let key = format!("feed:{user}");
    if let Some(feed) = backends.cached(&key).await {
        return Ok(Json(feed));
    }
    let feed = backends.build(user).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    backends.remember(&key, &feed).await;
    Ok(Json(feed))
}
