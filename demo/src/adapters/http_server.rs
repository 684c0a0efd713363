//! Components as HTTP routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query as UrlQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use serde::Serialize;
use weighbridge_agent::Json;

use crate::domain::DomainError;
use crate::domain::catalog::Catalog;
use crate::domain::closing::{Closer, Closing, Which};
use crate::domain::export::Exporter;
use crate::domain::ledger::{Balance, Ledger};
use crate::domain::orders::{NewOrder, Order, Orders};
use crate::domain::product::{Product, ProductChange};
use crate::domain::search::{Found, Query, Search};
use crate::domain::stock::{Reservation, Reserved, Stock, StockLevel};

type Reply<T> = Result<Json<T>, Failure>;

/// A domain error as an answer.
pub(crate) struct Failure(DomainError);

impl From<DomainError> for Failure {
    fn from(error: DomainError) -> Self {
        Self(error)
    }
}

#[derive(Serialize)]
struct FailureBody {
    error: String,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            DomainError::NotFound { .. } => StatusCode::NOT_FOUND,
            DomainError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            DomainError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            DomainError::Call { .. } => StatusCode::BAD_GATEWAY,
        };
        if status.is_server_error() {
            tracing::error!(error = %self.0, "request failed");
        }
        (
            status,
            Json(FailureBody {
                error: self.0.to_string(),
            }),
        )
            .into_response()
    }
}

pub(crate) fn catalog_routes(catalog: Arc<dyn Catalog>) -> Router {
    async fn read(State(catalog): State<Arc<dyn Catalog>>, Path(id): Path<i64>) -> Reply<Product> {
        Ok(Json(catalog.product(id).await?))
    }
    async fn change(
        State(catalog): State<Arc<dyn Catalog>>,
        Path(id): Path<i64>,
        Json(change): Json<ProductChange>,
    ) -> Reply<Product> {
        Ok(Json(catalog.change(id, change).await?))
    }
    Router::new()
        .route("/products/{id}", get(read).put(change))
        .with_state(catalog)
}

pub(crate) fn search_routes(search: Arc<dyn Search>) -> Router {
    async fn find(
        State(search): State<Arc<dyn Search>>,
        UrlQuery(query): UrlQuery<Query>,
    ) -> Reply<Found> {
        Ok(Json(search.find(query).await?))
    }
    Router::new().route("/search", get(find)).with_state(search)
}

pub(crate) fn orders_routes(orders: Arc<dyn Orders>) -> Router {
    async fn place(
        State(orders): State<Arc<dyn Orders>>,
        Json(order): Json<NewOrder>,
    ) -> Reply<Order> {
        Ok(Json(orders.place(order).await?))
    }
    Router::new()
        .route("/orders", post(place))
        .with_state(orders)
}

pub(crate) fn stock_routes(stock: Arc<dyn Stock>) -> Router {
    async fn level(
        State(stock): State<Arc<dyn Stock>>,
        Path(sku): Path<String>,
    ) -> Reply<StockLevel> {
        Ok(Json(stock.level(sku).await?))
    }
    async fn reserve(
        State(stock): State<Arc<dyn Stock>>,
        Json(reservation): Json<Reservation>,
    ) -> Reply<Reserved> {
        Ok(Json(stock.reserve(reservation).await?))
    }
    Router::new()
        .route("/stock/{sku}", get(level))
        .route("/reservations", post(reserve))
        .with_state(stock)
}

pub(crate) fn ledger_routes(ledger: Arc<dyn Ledger>) -> Router {
    async fn balance(
        State(ledger): State<Arc<dyn Ledger>>,
        Path(account): Path<i64>,
    ) -> Reply<Balance> {
        Ok(Json(ledger.balance(account).await?))
    }
    Router::new()
        .route("/balances/{account}", get(balance))
        .with_state(ledger)
}

pub(crate) fn closing_routes(closer: Arc<dyn Closer>) -> Router {
    async fn close(
        State(closer): State<Arc<dyn Closer>>,
        Path(month): Path<String>,
        Json(which): Json<Which>,
    ) -> Reply<Closing> {
        Ok(Json(closer.close(month, which).await?))
    }
    Router::new()
        .route("/closing/{month}", post(close))
        .with_state(closer)
}

pub(crate) fn export_routes(exporter: Arc<dyn Exporter>) -> Router {
    async fn journal(
        State(exporter): State<Arc<dyn Exporter>>,
        Path(month): Path<String>,
    ) -> Result<Response, Failure> {
        let document = exporter.journal(month).await?;
        Ok(([(header::CONTENT_TYPE, "application/xml")], document).into_response())
    }
    Router::new()
        .route("/export/{month}", get(journal))
        .with_state(exporter)
}
