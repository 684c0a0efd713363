//! The TOML file.

use std::path::Path;

use toml::{Table, Value};

use super::settings::{self, SETTINGS};
use super::{Config, ConfigError};
use crate::auth::{Scope, Token};

/// The array of tables that holds the tokens.
const TOKEN: &str = "token";
const TOKEN_KEYS: [&str; 6] = [
    "name",
    "secret",
    "secret_sha256",
    "scopes",
    "tenant",
    "services",
];

/// Applies every setting of a file.
pub(super) fn apply(config: &mut Config, path: &Path) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    apply_text(config, &text, path)
}

/// Applies every setting of a file's text.
pub(crate) fn apply_text(config: &mut Config, text: &str, path: &Path) -> Result<(), ConfigError> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            // The parser's own rendering would quote the line, and with it perhaps a secret.
            why: located(text, &error),
        })?;
    apply_table(config, "", &table, &path.display().to_string())
}

fn located(text: &str, error: &toml::de::Error) -> String {
    let Some(span) = error.span() else {
        return error.message().to_owned();
    };
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    format!("line {line}, column {column}: {}", error.message())
}

fn apply_table(
    config: &mut Config,
    section: &str,
    table: &Table,
    place: &str,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let key = if section.is_empty() {
            name.clone()
        } else {
            format!("{section}.{name}")
        };
        if key == TOKEN {
            apply_tokens(config, value, place)?;
            continue;
        }
        match value {
            Value::Table(inner) if is_section(&key) => apply_table(config, &key, inner, place)?,
            value => {
                let setting = find(&key, place)?;
                let text = scalar(value).ok_or_else(|| ConfigError::BadValue {
                    key: key.clone(),
                    place: place.to_owned(),
                    why: "expected a text, a number, true or false, or a list of texts".into(),
                })?;
                setting.apply(config, &text, place)?;
            }
        }
    }
    Ok(())
}

fn find(key: &str, place: &str) -> Result<&'static settings::Setting, ConfigError> {
    settings::find(key, place).map_err(|error| match error {
        ConfigError::UnknownKey { key, place, .. } => {
            let sections = SETTINGS
                .iter()
                .filter_map(|s| Some(s.key.split_once('.')?.0));
            let known = SETTINGS
                .iter()
                .map(|s| s.key)
                .chain(sections)
                .chain([TOKEN]);
            ConfigError::UnknownKey {
                hint: settings::hint(&key, known),
                key,
                place,
            }
        }
        error => error,
    })
}

fn is_section(key: &str) -> bool {
    SETTINGS.iter().any(|s| {
        s.key
            .split_once('.')
            .is_some_and(|(section, _)| section == key)
    })
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Array(list) => list
            .iter()
            .map(Value::as_str)
            .collect::<Option<Vec<_>>>()
            .map(|l| l.join(",")),
        _ => None,
    }
}

fn apply_tokens(config: &mut Config, value: &Value, place: &str) -> Result<(), ConfigError> {
    let bad = |key: &str, why: &str| ConfigError::BadValue {
        key: key.to_owned(),
        place: place.to_owned(),
        why: why.to_owned(),
    };
    let list = value
        .as_array()
        .ok_or_else(|| bad(TOKEN, "write each token as a section of its own: [[token]]"))?;
    for entry in list {
        let entry = entry
            .as_table()
            .ok_or_else(|| bad(TOKEN, "write each token as a section of its own: [[token]]"))?;
        if let Some(unknown) = entry.keys().find(|key| !TOKEN_KEYS.contains(&key.as_str())) {
            return Err(ConfigError::UnknownKey {
                key: format!("{TOKEN}.{unknown}"),
                place: place.to_owned(),
                hint: settings::hint(unknown, TOKEN_KEYS.into_iter()),
            });
        }
        let text = |key: &str| match entry.get(key) {
            None => Ok(None),
            Some(value) => value
                .as_str()
                .map(Some)
                .ok_or_else(|| bad(&format!("{TOKEN}.{key}"), "expected a text")),
        };
        let name = text("name")?.unwrap_or_default();
        let mut token = match (text("secret")?, text("secret_sha256")?) {
            (Some(secret), None) => {
                Token::new(name, secret).map_err(|why| bad("token.secret", &why))?
            }
            (None, Some(hex)) => {
                Token::from_sha256(name, hex).map_err(|why| bad("token.secret_sha256", &why))?
            }
            _ => {
                return Err(bad(
                    "token.secret",
                    "every token has either `secret` or `secret_sha256`",
                ));
            }
        };
        if let Some(tenant) = text("tenant")? {
            token = token.tenant(tenant);
        }
        if let Some(scopes) = entry.get("scopes") {
            let scopes = scopes
                .as_array()
                .and_then(|list| {
                    list.iter()
                        .map(|s| s.as_str().and_then(Scope::parse))
                        .collect()
                })
                .ok_or_else(|| {
                    bad(
                        "token.scopes",
                        "expected a list of \"ingest\", \"read\" and \"admin\"",
                    )
                })?;
            token = token.scopes(scopes);
        }
        if let Some(services) = entry.get("services") {
            let services = services
                .as_array()
                .and_then(|list| list.iter().map(|s| s.as_str().map(str::to_owned)).collect())
                .ok_or_else(|| {
                    bad(
                        "token.services",
                        "expected a list of names, with * for any characters",
                    )
                })?;
            token = token.services(services);
        }
        config.tokens.push(token);
    }
    Ok(())
}
