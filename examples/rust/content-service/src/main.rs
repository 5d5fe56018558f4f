//! content-service: posts of the database nova_content, by HTTP and gRPC on one port.
//!
//! ```text
//! content-service           serves
//! content-service migrate   creates the tables, for an init container
//! ```

use std::error::Error;
use std::iter::successors;
use std::time::Duration;
use std::{env, process::ExitCode};

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Json, Router, routing::get};
use content_api::content_server::{Content, ContentServer};
use content_api::{ListReply, ListRequest, Post};
use deadpool_postgres::{Manager, Pool, PoolError};
use serde::Serialize;
use tokio_postgres::{Config, NoTls};
use tonic::{Request, Response, Status};
use tracing::{error, info, instrument};

/// How long a server of PostgreSQL that is gone is waited for.
const LIMIT: Duration = Duration::from_secs(2);

const SCHEMA: &str = include_str!("schema.sql");

#[tokio::main]
async fn main() -> ExitCode {
    let telemetry = nova_telemetry::init();
    let done = match env::args().nth(1).as_deref() {
        None => serve(telemetry).await,
        Some("migrate") => {
            let done = migrate().await;
            telemetry.shutdown().await;
            done
        }
        Some(other) => Err(format!("argument {other:?}: allowed is migrate, or none to serve").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // The client of PostgreSQL gives the cause as source alone.
            let causes = successors(reason.source(), |&cause| cause.source()).map(|cause| format!(": {cause}"));
            error!("{reason}{}", causes.collect::<String>());
            ExitCode::FAILURE
        }
    }
}

async fn serve(telemetry: nova_telemetry::Telemetry) -> Result<(), Box<dyn Error>> {
    let store = Store(pool()?);
    let app = Router::new()
        .route("/trending", get(trending))
        .with_state(store.clone())
        .merge(tonic::service::Routes::new(ContentServer::new(store)).prepare().into_axum_router());
    let address = env::var("LISTEN").unwrap_or_else(|_| "0.0.0.0:8080".into());
    Ok(nova_telemetry::serve(&address, app, telemetry).await?)
}

async fn migrate() -> Result<(), Box<dyn Error>> {
    pool()?.get().await?.batch_execute(SCHEMA).await?;
    info!("the tables exist");
    Ok(())
}

fn pool() -> Result<Pool, Box<dyn Error>> {
    let url = env::var("DATABASE_URL")
        .map_err(|_| "DATABASE_URL is not set: want postgres://USER:PASSWORD@HOST/nova_content")?;
    // The parser's message may hold the password.
    let mut config: Config = url.parse().map_err(|_| "DATABASE_URL is no URL of PostgreSQL")?;
    config.connect_timeout(LIMIT).tcp_user_timeout(LIMIT);
    Ok(Pool::builder(Manager::new(config, NoTls)).build()?)
}

#[derive(Clone)]
struct Store(Pool);

/// Each query is a span, named after what it does and never by its text. `err` makes an
/// error the status of the span and an ERROR line with the trace id.
impl Store {
    #[instrument(name = "select posts", skip_all, err(Debug), fields(otel.kind = "client", db.system.name = "postgresql"))]
    async fn posts(&self, authors: &[i64]) -> Result<Vec<Post>, PoolError> {
        let query = "SELECT id, author, title FROM posts WHERE author = ANY($1) ORDER BY id DESC LIMIT 20";
        let rows = self.0.get().await?.query(query, &[&authors]).await?;
        Ok(rows.iter().map(|row| Post { id: row.get(0), author: row.get(1), title: row.get(2) }).collect())
    }

    #[instrument(name = "select trending", skip_all, err(Debug), fields(otel.kind = "client", db.system.name = "postgresql"))]
    async fn trending(&self) -> Result<Option<Trending>, PoolError> {
        let query = "SELECT title FROM posts ORDER BY likes DESC, id DESC LIMIT 1";
        let row = self.0.get().await?.query_opt(query, &[]).await?;
        Ok(row.map(|row| Trending { title: row.get(0) }))
    }
}

#[derive(Serialize)]
struct Trending {
    title: String,
}

#[instrument(skip_all)]
async fn trending(State(store): State<Store>) -> Result<Json<Option<Trending>>, StatusCode> {
    store.trending().await.map(Json).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

#[tonic::async_trait]
impl Content for Store {
    #[instrument(skip_all, fields(authors = request.get_ref().authors.len()))]
    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        let posts = self.posts(&request.get_ref().authors).await;
        let posts = posts.map_err(|_| Status::unavailable("the database does not answer"))?;
        Ok(Response::new(ListReply { posts }))
    }
}
