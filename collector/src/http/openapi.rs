//! The OpenAPI document: made of one list of endpoints and of the schema of the report.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{App, RANGE_PATH, RESTORE_PATH, SNAPSHOT_PATH, SNAPSHOT_TYPE, answer};
use crate::auth::Scope;
use crate::document::PARTS;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const PROTOBUF: &str = weighbridge_wire::CONTENT_TYPE;

/// One way in.
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    pub(super) path: String,
    summary: &'static str,
    pub(super) scope: Option<Scope>,
    /// True when it takes a span of time.
    span: bool,
    body: Option<&'static str>,
    answer: &'static str,
    /// What the answer is, by its name in the report's schema; empty for the whole report.
    schema: Option<Value>,
}

impl Endpoint {
    fn get(path: &str, summary: &'static str, answer: &'static str) -> Self {
        Self {
            method: "get",
            path: path.to_owned(),
            summary,
            scope: Some(Scope::Read),
            span: false,
            body: None,
            answer,
            schema: None,
        }
    }

    fn post(
        path: &str,
        summary: &'static str,
        scope: Scope,
        body: &'static str,
        answer: &'static str,
    ) -> Self {
        Self {
            method: "post",
            scope: Some(scope),
            body: Some(body),
            ..Self::get(path, summary, answer)
        }
    }

    fn open(self) -> Self {
        Self {
            scope: None,
            ..self
        }
    }

    fn of_a_span(self) -> Self {
        Self { span: true, ..self }
    }

    fn with(self, schema: Value) -> Self {
        Self {
            schema: Some(schema),
            ..self
        }
    }
}

/// Every way in that this version promises to keep.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = vec![
        Endpoint::post(
            "/v1/ledger",
            "One delta; answered when it is on disk",
            Scope::Ingest,
            PROTOBUF,
            PROTOBUF,
        ),
        Endpoint::post(
            "/v1/traces",
            "OTLP spans, protobuf or JSON; answered when what came of them is on disk",
            Scope::Ingest,
            PROTOBUF,
            PROTOBUF,
        ),
        Endpoint::post(
            "/v1/metrics",
            "OTLP metrics, protobuf or JSON; answered when what came of them is on disk",
            Scope::Ingest,
            PROTOBUF,
            PROTOBUF,
        ),
        Endpoint::post(
            "/v1/logs",
            "OTLP log records, protobuf or JSON; counted and not used",
            Scope::Ingest,
            PROTOBUF,
            PROTOBUF,
        ),
        Endpoint::get(
            RANGE_PATH,
            "Folded windows, streamed as one FoldedRange",
            PROTOBUF,
        )
        .of_a_span(),
        Endpoint::get(
            "/api/v1/windows",
            "Folded windows, streamed as one JSON object per line",
            "application/x-ndjson",
        )
        .of_a_span(),
        Endpoint::get("/api/v1/report.json", "The report", JSON)
            .of_a_span()
            .with(json!({"$ref": "#/components/schemas/Report"})),
    ];
    for part in PARTS {
        let item = if part == "operations" {
            // Each with the name of its service.
            json!({"type": "array", "items": {"allOf": [
                {"type": "object", "properties": {"service": {"type": "string"}}, "required": ["service"]},
                {"type": "object"},
            ]}})
        } else {
            json!({"$ref": format!("#/components/schemas/Report/properties/{part}")})
        };
        let schema = json!({
            "type": "object",
            "properties": {
                "schema_version": {"$ref": "#/components/schemas/Report/properties/schema_version"},
                "window": {"$ref": "#/components/schemas/Report/properties/window"},
                part: item,
            },
            "required": ["schema_version", "window", part],
        });
        all.push(
            Endpoint::get(&format!("/api/v1/{part}"), "A part of the report", JSON)
                .of_a_span()
                .with(schema),
        );
    }
    all.extend([
        Endpoint::get("/report.html", "The report as a page", "text/html").of_a_span(),
        Endpoint::get(
            SNAPSHOT_PATH,
            "Everything, of all tenants, as a database file",
            SNAPSHOT_TYPE,
        )
        .admin(),
        Endpoint::post(
            RESTORE_PATH,
            "Puts a snapshot in the place of everything; needs replace=true",
            Scope::Admin,
            SNAPSHOT_TYPE,
            TEXT,
        ),
        Endpoint::get(
            "/metrics",
            "The collector's own metrics",
            "application/openmetrics-text",
        ),
        Endpoint::get("/api/v1/openapi.json", "This document", JSON).open(),
        Endpoint::get("/livez", "200 as long as the process answers", TEXT).open(),
        Endpoint::get("/readyz", "200 when it takes deltas, else 503", TEXT).open(),
        Endpoint::get("/healthz", "The same as /readyz", TEXT).open(),
    ]);
    all
}

impl Endpoint {
    fn admin(self) -> Self {
        Self {
            scope: Some(Scope::Admin),
            ..self
        }
    }

    fn document(&self) -> Value {
        let parameter = |name: &str, description: &str| {
            json!({"name": name, "in": "query", "required": false, "description": description,
                   "schema": {"type": "string"}})
        };
        let mut parameters = Vec::new();
        if self.span {
            parameters.extend([
                parameter("since", "An instant (2026-11-23T04:00:00Z) or a time before now (15m); default: the beginning"),
                parameter("until", "As `since`; default: the end"),
                parameter("resolution", "The finest windows wanted: as_sent, minute, hour or day; default: as finely as they are kept and not too long"),
            ]);
        }
        if self.path == RESTORE_PATH {
            parameters.push(json!({"name": "replace", "in": "query", "required": true,
                "description": "true: throw away what the collector holds", "schema": {"type": "boolean"}}));
        }
        let content = |media: &str, schema: Option<&Value>| {
            let binary = json!({"type": "string"});
            json!({media: {"schema": schema.unwrap_or(&binary)}})
        };
        let mut responses = Map::new();
        let said = |text: &str| json!({"description": text, "content": content(TEXT, None)});
        responses.insert(
            "200".into(),
            json!({"description": self.summary, "content": content(self.answer, self.schema.as_ref())}),
        );
        responses.insert(
            "403".into(),
            said("A foreign Host, or a token without this scope or service"),
        );
        if self.scope.is_some() {
            responses.insert("401".into(), said("No token, or one that is not known"));
        }
        if self.span || self.body.is_some() {
            responses.insert(
                "400".into(),
                said("What was asked cannot be; the text says why"),
            );
        }
        responses.insert("503".into(), said("Not now; see Retry-After and the text"));
        let mut document = json!({
            "summary": self.summary,
            "parameters": parameters,
            "responses": responses,
            "security": self.scope.map_or_else(Vec::new, |scope| vec![json!({"token": [scope.as_str()]})]),
        });
        if let Some(media) = self.body {
            document["requestBody"] = json!({"required": true, "content": content(media, None)});
        }
        document
    }
}

/// The document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in endpoints() {
        let path = paths
            .entry(endpoint.path.clone())
            .or_insert_with(|| json!({}));
        path[endpoint.method] = endpoint.document();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weighbridge collector",
            "version": "1",
            "description": "What requests cost, as the collector holds it. A field is never taken away or given another \
                            meaning within /api/v1; readers skip what they do not know.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
        },
    })
}

/// The schema of the report with its definitions where OpenAPI wants them.
fn schemas() -> Value {
    let mut report: Value =
        serde_json::from_str(weighbridge_reports::formats::JSON_SCHEMA).unwrap_or_default();
    let mut schemas = match report.get_mut("$defs").map(Value::take) {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    if let Some(report) = report.as_object_mut() {
        report.remove("$defs");
        report.remove("$schema");
        report.remove("$id");
    }
    schemas.insert("Report".into(), report);
    let mut schemas = Value::Object(schemas);
    point_elsewhere(&mut schemas);
    schemas
}

fn point_elsewhere(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref") {
                *reference = reference.replace("#/$defs/", "#/components/schemas/");
            }
            fields.values_mut().for_each(point_elsewhere);
        }
        Value::Array(list) => list.iter_mut().for_each(point_elsewhere),
        _ => {}
    }
}

pub(super) async fn openapi(State(_): State<App>) -> Response {
    answer::typed(StatusCode::OK, JSON, document().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_the_one_that_was_promised() {
        let shown = serde_json::to_string_pretty(&document()).unwrap();
        expect_test::expect_file!["../../openapi.json"].assert_eq(&format!("{shown}\n"));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        found.push(reference.clone());
                    }
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50, "{}", found.len());
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
