//! What stands before the replicas of a process: a balancer or a router, weighed like a service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use weighbridge_agent::http_client::{Client, ClientError};

use super::control::{Control, say};
use super::protocol::{Command, FrontConfig, Reply};
use super::status;
use crate::load::SHARD_KEY_HEADER;
use crate::placement::Front;

/// Largest body that is passed on, either way; an answer beyond it is an error to the caller.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The routes of the ERP with the name of the parameter that ends them, if one does.
const ROUTES: [(&str, Option<&str>); 8] = [
    ("/products/{id}", Some("id")),
    ("/search", None),
    ("/orders", None),
    ("/stock/{sku}", Some("sku")),
    ("/reservations", None),
    ("/balances/{account}", Some("account")),
    ("/closing/{month}", Some("month")),
    ("/export/{month}", Some("month")),
];

struct Replicas {
    by: Front,
    clients: Vec<Client>,
    next: AtomicUsize,
}

impl Replicas {
    /// The replica of a request: that of its key, or the next one when it has none or keys divide nothing here.
    fn of(&self, key: Option<u64>) -> &Client {
        let count = self.clients.len();
        let turn = match (self.by, key) {
            (Front::Key, Some(key)) => usize::try_from(key % count as u64).unwrap_or(0),
            _ => self.next.fetch_add(1, Ordering::Relaxed) % count,
        };
        &self.clients[turn]
    }
}

pub(super) async fn run(config: FrontConfig, mut control: Control) -> anyhow::Result<()> {
    let clients = config
        .targets
        .iter()
        .map(|base| {
            Client::new(&config.peer, base).map(|client| client.with_body_bytes_max(BODY_BYTES_MAX))
        })
        .collect::<Result<Vec<_>, _>>()
        .context("the addresses of the replicas")?;
    let replicas = Arc::new(Replicas {
        by: config.by,
        clients,
        next: AtomicUsize::new(0),
    });
    let mut router = Router::new();
    for (template, parameter) in ROUTES {
        let forward = move |State(replicas): State<Arc<Replicas>>,
                            Query(query): Query<Vec<(String, String)>>,
                            request: Request| async move {
            forward(&replicas, template, parameter, &query, request).await
        };
        router = router.route(template, any(forward));
    }
    let app = router
        .with_state(replicas)
        .layer(weighbridge_agent::layer());
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("no free port on 127.0.0.1")?;
    let address = listener.local_addr().context("asking for the own port")?;
    let stop = CancellationToken::new();
    let served = weighbridge_agent::serve(listener, app)
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let server = tokio::spawn(async move { served.await });
    say(&Reply::Ready {
        address: Some(address.to_string()),
    })?;
    while let Some(Command::Status) = control.recv().await {
        say(&Reply::Status(status(BTreeMap::new(), BTreeMap::new())))?;
    }
    stop.cancel();
    server
        .await
        .context("the server broke off")?
        .map_err(|e| anyhow!("serving HTTP: {e}"))?;
    Ok(())
}

/// Passes a request on and its answer back.
async fn forward(
    replicas: &Replicas,
    template: &'static str,
    parameter: Option<&'static str>,
    query: &[(String, String)],
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return (
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than 4 MiB",
        )
            .into_response();
    };
    let value = parameter.and_then(|_| head.uri.path().rsplit('/').next());
    let key = key(&head.headers, value);
    let mut onward = replicas.of(key).request(head.method, template);
    if let (Some(name), Some(value)) = (parameter, value) {
        onward = onward.param(name, value);
    }
    let pairs: Vec<(&str, &str)> = query
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    if !pairs.is_empty() {
        onward = onward.query(&pairs);
    }
    if let Some(kind) = text(&head.headers, header::CONTENT_TYPE.as_str()) {
        onward = onward.header(header::CONTENT_TYPE.as_str(), kind);
    }
    let answer = async {
        let response = onward.body(body.to_bytes()).send().await?;
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE).cloned();
        Ok::<_, ClientError>((status, kind, response.bytes().await?))
    };
    match answer.await {
        Ok((status, kind, bytes)) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            if let Some(kind) = kind {
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            response
        }
        Err(error) => {
            tracing::error!(%error, "request not passed on");
            (StatusCode::BAD_GATEWAY, error.to_string()).into_response()
        }
    }
}

/// What divides: a customer, whom the caller names in a header, or the number at the end of the path.
fn key(headers: &HeaderMap, value: Option<&str>) -> Option<u64> {
    text(headers, SHARD_KEY_HEADER)
        .or(value)
        .and_then(|text| text.parse().ok())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(by: Front) -> Replicas {
        let client = |port: u16| Client::new("store", &format!("http://127.0.0.1:{port}"));
        Replicas {
            by,
            clients: vec![client(1).expect("made"), client(2).expect("made")],
            next: AtomicUsize::new(0),
        }
    }

    fn at(replicas: &Replicas, key: Option<u64>) -> usize {
        let chosen = std::ptr::from_ref(replicas.of(key));
        replicas
            .clients
            .iter()
            .position(|client| std::ptr::eq(client, chosen))
            .expect("one of them")
    }

    #[test]
    fn a_router_keeps_a_key_to_its_replica_and_a_balancer_takes_turns() {
        let router = replicas(Front::Key);
        assert_eq!([7, 7, 8, 8].map(|key| at(&router, Some(key))), [1, 1, 0, 0]);
        assert_eq!([None, None].map(|key| at(&router, key)), [0, 1]);
        let balancer = replicas(Front::Turn);
        assert_eq!([7, 7, 7].map(|key| at(&balancer, Some(key))), [0, 1, 0]);
    }

    #[test]
    fn the_header_is_the_key_before_the_path_and_words_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(key(&headers, Some("12")), Some(12));
        assert_eq!(key(&headers, Some("WB-000012")), None);
        headers.insert(SHARD_KEY_HEADER, header::HeaderValue::from_static("5"));
        assert_eq!(key(&headers, Some("12")), Some(5));
    }
}
