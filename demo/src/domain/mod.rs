//! The business, free of transports: components as traits, their messages, and the arithmetic.

pub(crate) mod catalog;
pub(crate) mod closing;
pub(crate) mod error;
pub(crate) mod export;
pub(crate) mod ledger;
pub(crate) mod money;
pub(crate) mod orders;
pub(crate) mod pricing;
pub(crate) mod product;
pub(crate) mod ranking;
pub(crate) mod search;
pub(crate) mod stock;

use futures_util::future::BoxFuture;

pub(crate) use error::DomainError;

/// What a component's call gives. Boxed, because which adapter stands behind a trait is decided at run time.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, DomainError>>;
