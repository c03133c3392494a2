//! A metric in the line protocol of InfluxDB: `name[,tag=value…] field=value[,…] timestamp` and a line end.

use serde_json::{Number, Value};

use super::event;

/// The line of a metric, with more tags. Special characters are escaped as the format says.
pub(super) fn of_metric(metric: &Value, more: &[(String, String)]) -> Result<String, String> {
    let mut line = escaped(event::text(metric, "name"), &[',', ' '])?;
    for tag in entries(metric, "tags") {
        push_tag(
            &mut line,
            event::text(tag, "name"),
            &plain(tag.get("value")),
        )?;
    }
    for (name, value) in more {
        push_tag(&mut line, name, value)?;
    }
    for (at, field) in entries(metric, "fields").iter().enumerate() {
        line.push(if at == 0 { ' ' } else { ',' });
        line.push_str(&escaped(event::text(field, "name"), &KEY)?);
        line.push('=');
        line.push_str(&field_value(field.get("value")));
    }
    let timestamp = metric.get("timestamp").and_then(Value::as_i64);
    line.push_str(&format!(" {}\n", timestamp.unwrap_or_default()));
    Ok(line)
}

/// What is escaped in the keys of fields, and in tags.
const KEY: [char; 3] = [',', '=', ' '];

fn entries<'a>(metric: &'a Value, key: &str) -> &'a [Value] {
    let entries = metric.get(key).and_then(Value::as_array);
    entries.map_or(&[], Vec::as_slice)
}

fn push_tag(line: &mut String, name: &str, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Ok(()); // the format has no empty tags; an absent one means the same
    }
    let (name, value) = (escaped(name, &KEY)?, escaped(value, &KEY)?);
    line.push_str(&format!(",{name}={value}"));
    Ok(())
}

/// The text with a backslash before each of the special characters. A line end cannot be escaped.
fn escaped(text: &str, special: &[char]) -> Result<String, String> {
    if text.contains(['\n', '\r']) {
        return Err("a name or a tag of the metric has a line end in it".to_owned());
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    Ok(out)
}

fn field_value(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Some(Value::Number(number)) => match (number.as_u64(), number.as_i64()) {
            (Some(unsigned), _) => format!("{unsigned}u"),
            (None, Some(signed)) => format!("{signed}i"),
            (None, None) => float(number),
        },
        other => plain(other),
    }
}

fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.is_f64() => float(number),
        Some(other) => other.to_string(),
    }
}

/// A float without the `.0` of whole ones.
fn float(number: &Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_has_name_tags_fields_and_time() {
        let metric = json!({
            "name": "m", "timestamp": 1_700_000_000_i64,
            "tags": [{"name": "service", "value": "s"}, {"name": "empty", "value": ""}],
            "fields": [
                {"name": "signed", "value": -12}, {"name": "unsigned", "value": 99}, {"name": "float", "value": 12.0},
                {"name": "half", "value": 0.5}, {"name": "text", "value": "a \"b\" \\"}, {"name": "flag", "value": true},
            ],
        });
        let more = [("site".to_owned(), "north".to_owned())];
        assert_eq!(
            of_metric(&metric, &more).unwrap(),
            "m,service=s,site=north signed=-12i,unsigned=99u,float=12,half=0.5,text=\"a \\\"b\\\" \\\\\",flag=true 1700000000\n"
        );
    }

    #[test]
    fn names_and_tags_are_escaped_and_line_ends_refused() {
        let metric = |name: &str, tag: &str| json!({"name": name, "timestamp": 1, "tags": [{"name": "t=", "value": tag}], "fields": [{"name": "f,", "value": 1.5}]});
        assert_eq!(
            of_metric(&metric("a b,c=", "x, y"), &[]).unwrap(),
            "a\\ b\\,c=,t\\==x\\,\\ y f\\,=1.5 1\n"
        );
        assert!(of_metric(&metric("a\nb", "x"), &[]).is_err());
        assert!(of_metric(&metric("a", "x\ny"), &[]).is_err());
    }
}
