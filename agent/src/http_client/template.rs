//! Path templates such as `/stock/{sku}`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Fills a template. Errors say which parameter is missing or unknown.
pub(super) fn fill(template: &str, params: &[(&str, String)]) -> Result<String, String> {
    if !template.starts_with('/') {
        return Err("a template begins with `/`".to_owned());
    }
    let mut out = String::with_capacity(template.len() + 32);
    let mut used = 0;
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return Err("a `{` of the template has no `}`".to_owned());
        };
        let Some((_, value)) = params.iter().find(|(param, _)| *param == name) else {
            return Err(format!(
                "the parameter `{name}` is not set; call `.param(\"{name}\", …)`"
            ));
        };
        if value == "." || value == ".." {
            // Encoding does not help: servers treat the segment as a step in the path.
            return Err(format!(
                "the parameter `{name}` is `{value}`, which would change the path"
            ));
        }
        out.push_str(before);
        out.extend(utf8_percent_encode(value, RESERVED));
        used += 1;
        rest = after;
    }
    out.push_str(rest);
    if used < params.len() {
        return Err("a parameter is set that the template does not name".to_owned());
    }
    Ok(out)
}

/// Appends `name=value` pairs to a path.
pub(super) fn push_query(path: &mut String, pairs: &[(String, String)]) {
    for (n, (name, value)) in pairs.iter().enumerate() {
        path.push(if n == 0 { '?' } else { '&' });
        path.extend(utf8_percent_encode(name, RESERVED));
        path.push('=');
        path.extend(utf8_percent_encode(value, RESERVED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded_into_their_segment() {
        let fill = |template, value: &str| fill(template, &[("sku", value.to_owned())]);
        assert_eq!(
            fill("/stock/{sku}", "A 1/ä?"),
            Ok("/stock/A%201%2F%C3%A4%3F".into())
        );
        assert_eq!(fill("/a/{sku}/b", "x"), Ok("/a/x/b".into()));
        for (template, value) in [
            ("/stock/{id}", "x"),
            ("/stock", "x"),
            ("stock/{sku}", "x"),
            ("/{sku", "x"),
            ("/{sku}", ".."),
        ] {
            assert!(fill(template, value).is_err(), "{template}");
        }
    }

    #[test]
    fn queries_are_encoded() {
        let mut path = "/search".to_owned();
        push_query(
            &mut path,
            &[("q".into(), "a&b=c".into()), ("n".into(), "1".into())],
        );
        assert_eq!(path, "/search?q=a%26b%3Dc&n=1");
    }
}
