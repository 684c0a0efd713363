//! The rows that requests, calls and statements of spans stand in.

use weighbridge_wire::{
    EdgeKey, EntityKey, OperationKey, Quality, RowKey, RowValue, ServiceId, access, column, mode,
    side,
};

use super::derived::{Party, Target};

/// What a span counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// How many, negative where a row is taken back.
    pub(crate) count: i64,
    pub(crate) errors: i64,
    pub(crate) client_errors: i64,
    pub(crate) wall_ns: i64,
    pub(crate) retries: i64,
    /// Sum of lags, of messages only.
    pub(crate) lag_ns: i64,
    /// Of how many the size of the request is known, and their sum; of the response likewise.
    pub(crate) request_bytes: (i64, i64),
    pub(crate) response_bytes: (i64, i64),
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.client_errors += other.client_errors;
        self.wall_ns = self.wall_ns.saturating_add(other.wall_ns);
        self.retries += other.retries;
        self.lag_ns = self.lag_ns.saturating_add(other.lag_ns);
        for (mine, theirs) in [
            (&mut self.request_bytes, other.request_bytes),
            (&mut self.response_bytes, other.response_bytes),
        ] {
            mine.0 += theirs.0;
            mine.1 = mine.1.saturating_add(theirs.1);
        }
    }

    /// The same, taken back.
    pub(crate) fn minus(&self) -> Self {
        Self {
            count: -self.count,
            errors: -self.errors,
            client_errors: -self.client_errors,
            wall_ns: -self.wall_ns,
            retries: -self.retries,
            lag_ns: -self.lag_ns,
            request_bytes: (-self.request_bytes.0, -self.request_bytes.1),
            response_bytes: (-self.response_bytes.0, -self.response_bytes.1),
        }
    }
}

fn names(party: Option<&Party>) -> (std::sync::Arc<str>, std::sync::Arc<str>) {
    party.map_or_else(
        || ("".into(), "".into()),
        |party| {
            (
                party.service.service.as_str().into(),
                party.operation.clone(),
            )
        },
    )
}

/// The operation row of a request. Without a known origin it is its own, as for requests of agents.
pub(crate) fn request(
    own: &Party,
    caller: Option<&Party>,
    origin: Option<&Party>,
    figures: &Figures,
) -> (RowKey, RowValue) {
    let (caller_service, caller_operation) = names(caller);
    let (origin_service, origin_operation) = names(origin.or(Some(own)));
    let key = OperationKey {
        component: "".into(),
        operation: own.operation.clone(),
        class: "".into(),
        caller_service,
        caller_operation,
        origin_service,
        origin_operation,
    };
    let value = RowValue::new()
        .with(column::ENDED, figures.count)
        .with(column::ERRORS, figures.errors)
        .with(column::CLIENT_ERRORS, figures.client_errors)
        .with(column::WALL_NS, figures.wall_ns)
        .with(column::IN_FLIGHT_NS, figures.wall_ns);
    (key.row_key(Quality::Measured), value)
}

/// The edge row of the side that answers.
pub(crate) fn answered(
    own: &Party,
    caller: Option<&Party>,
    origin: Option<&Party>,
    call: &Target,
    figures: &Figures,
) -> Option<(RowKey, RowValue)> {
    let Target::Call {
        service,
        transport,
        is_async,
        peer,
        target,
        call_id,
    } = call
    else {
        return None;
    };
    let (origin_service, origin_operation) = names(origin.or(Some(own)));
    let key = EdgeKey {
        side: side::CALLEE.into(),
        mode: mode_word(*is_async).into(),
        transport: transport.clone(),
        component: "".into(),
        operation: own.operation.clone(),
        class: "".into(),
        peer_service: service.service.as_str().into(),
        peer_operation: caller.map_or_else(|| "".into(), |caller| caller.operation.clone()),
        call_id: call_id.clone(),
        peer: peer.clone(),
        target: target.clone(),
        origin_service,
        origin_operation,
    };
    let mut value = RowValue::new()
        .with(column::REQUEST_MESSAGES, figures.count)
        .with(column::ERRORS, figures.errors)
        .with(column::CLIENT_ERRORS, figures.client_errors)
        .with(column::WALL_NS, figures.wall_ns);
    if *is_async {
        value.add(column::WAIT_NS, figures.lag_ns);
    } else {
        value.add(column::RESPONSE_MESSAGES, figures.count);
    }
    add_bytes(&mut value, figures, !is_async);
    Some((key.row_key(Quality::Measured), value))
}

fn mode_word(is_async: bool) -> &'static str {
    if is_async { mode::ASYNC } else { mode::SYNC }
}

/// Sizes, where they are known of all messages: a sum over some would look like one over all.
fn add_bytes(value: &mut RowValue, figures: &Figures, has_response: bool) {
    if figures.request_bytes.0 == figures.count {
        value.add(column::REQUEST_BODY_BYTES, figures.request_bytes.1);
    }
    if has_response && figures.response_bytes.0 == figures.count {
        value.add(column::RESPONSE_BODY_BYTES, figures.response_bytes.1);
    }
}

/// The row of a call at its caller, or of a statement. `operation` is the request's around it, if it is known.
pub(crate) fn called(
    target: &Target,
    operation: Option<&Party>,
    origin: Option<&Party>,
    figures: &Figures,
) -> (RowKey, RowValue) {
    let own: std::sync::Arc<str> =
        operation.map_or_else(|| "".into(), |party| party.operation.clone());
    match target {
        Target::Call {
            transport,
            is_async,
            peer,
            target,
            call_id,
            ..
        } => {
            let (origin_service, origin_operation) = names(origin.or(operation));
            let key = EdgeKey {
                side: side::CALLER.into(),
                mode: mode_word(*is_async).into(),
                transport: transport.clone(),
                component: "".into(),
                operation: own,
                class: "".into(),
                peer_service: "".into(),
                peer_operation: "".into(),
                call_id: call_id.clone(),
                peer: peer.clone(),
                target: target.clone(),
                origin_service,
                origin_operation,
            };
            let mut value = RowValue::new()
                .with(column::REQUEST_MESSAGES, figures.count)
                .with(column::ERRORS, figures.errors)
                .with(column::CLIENT_ERRORS, figures.client_errors)
                .with(column::RETRIES, figures.retries);
            if !is_async {
                value.add(column::RESPONSE_MESSAGES, figures.count);
                value.add(column::WAIT_NS, figures.wall_ns);
            }
            add_bytes(&mut value, figures, !is_async);
            (key.row_key(Quality::Measured), value)
        }
        Target::Entity {
            database,
            entity,
            is_write,
            ..
        } => {
            let access = if *is_write {
                access::WRITE
            } else {
                access::READ
            };
            let key = EntityKey {
                component: "".into(),
                operation: own,
                class: "".into(),
                database: database.clone(),
                entity: entity.clone(),
                access: access.into(),
            };
            let value = RowValue::new()
                .with(column::STATEMENTS, figures.count)
                .with(column::ERRORS, figures.errors)
                .with(column::WAIT_STORE_NS, figures.wall_ns);
            (key.row_key(Quality::Measured), value)
        }
    }
}

/// The service that a target's rows belong to.
pub(crate) fn service_of(target: &Target) -> &std::sync::Arc<ServiceId> {
    match target {
        Target::Call { service, .. } | Target::Entity { service, .. } => service,
    }
}
