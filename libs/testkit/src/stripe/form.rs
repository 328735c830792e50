//! Parameters as Stripe takes them: form-encoded, with brackets for what is nested.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Stripe's own parameters are nested half as deep.
const MOST_LEVELS: usize = 10;

const MOST_PAIRS: usize = 1000;

/// Reads `a[b]=1&c[0]=2` as `{"a": {"b": "1"}, "c": ["2"]}`. All leaves are texts.
pub(super) fn parse(text: &str) -> Result<Value, &'static str> {
    let mut root = Map::new();
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    for (count, pair) in pairs.enumerate() {
        if count == MOST_PAIRS {
            return Err("too many parameters");
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        insert(&mut root, &levels(&name)?, value)?;
    }
    Ok(with_arrays(Value::Object(root)))
}

fn decode(text: &str) -> Result<String, &'static str> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    Ok(decoded
        .map_err(|_| "a parameter is not UTF-8")?
        .into_owned())
}

/// `a[b][0]` as `a`, `b`, `0`.
fn levels(name: &str) -> Result<Vec<&str>, &'static str> {
    let (first, mut rest) = name.split_at(name.find('[').unwrap_or(name.len()));
    let mut levels = vec![first];
    while !rest.is_empty() {
        let inside = rest.strip_prefix('[').and_then(|it| it.split_once(']'));
        let (level, after) = inside.ok_or("the brackets of a parameter do not match")?;
        levels.push(level);
        rest = after;
    }
    if first.is_empty() || levels.len() > MOST_LEVELS {
        return Err("a parameter has no name, or too many levels");
    }
    Ok(levels)
}

fn insert(
    map: &mut Map<String, Value>,
    levels: &[&str],
    value: String,
) -> Result<(), &'static str> {
    let Some((level, rest)) = levels.split_first() else {
        return Err("a parameter has no name");
    };
    // `a[]=1&a[]=2` counts by itself.
    let name = match *level {
        "" => map.len().to_string(),
        name => name.to_owned(),
    };
    if rest.is_empty() {
        map.insert(name, Value::String(value));
        return Ok(());
    }
    let inner = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
    let inner = inner.as_object_mut();
    insert(
        inner.ok_or("a parameter is both a value and a list")?,
        rest,
        value,
    )
}

/// Objects whose names are 0, 1, 2, … are lists.
fn with_arrays(value: Value) -> Value {
    let Value::Object(map) = value else {
        return value;
    };
    let mut map: Map<String, Value> = map
        .into_iter()
        .map(|(name, value)| (name, with_arrays(value)))
        .collect();
    let is_list = !map.is_empty() && (0..map.len()).all(|at| map.contains_key(&at.to_string()));
    if !is_list {
        return Value::Object(map);
    }
    let items = (0..map.len()).filter_map(|at| map.remove(&at.to_string()));
    Value::Array(items.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn brackets_nest_whether_or_not_they_are_encoded() {
        let expected = json!({"a": {"b": "1 2"}, "c": [{"d": "3"}, {"d": "4"}], "e": ["5", "6"]});
        let plain = "a[b]=1+2&c[0][d]=3&c[1][d]=4&e[]=5&e[]=6";
        assert_eq!(parse(plain), Ok(expected.clone()));
        let encoded = "a%5Bb%5D=1%202&c%5B0%5D%5Bd%5D=3&c%5B1%5D%5Bd%5D=4&e%5B%5D=5&e%5B%5D=6";
        assert_eq!(parse(encoded), Ok(expected));
    }

    #[test]
    fn more_than_ten_items_keep_their_order() {
        let text: Vec<String> = (0..12).map(|at| format!("a[{at}]={at}")).collect();
        let expected: Vec<String> = (0..12).map(|at| at.to_string()).collect();
        assert_eq!(parse(&text.join("&")), Ok(json!({ "a": expected })));
    }

    #[test]
    fn nonsense_is_refused() {
        let deep = format!("a{}=1", "[b]".repeat(MOST_LEVELS));
        let many = "a=1&".repeat(MOST_PAIRS + 1);
        for text in ["=1", "a[=1", "a]b[=1[", "a=1&a[b]=2", "a=%ff", &deep, &many] {
            assert!(parse(text).is_err(), "{text:.40}");
        }
        assert_eq!(parse(""), Ok(json!({})));
    }
}
