//! An event as XML, in the element names and the order of EdgeX.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::event;

/// A name that cannot be the name of an element.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tag `{0}` cannot be the name of an XML element")]
pub(super) struct InvalidName(String);

/// The elements of an event: name, and key in JSON.
const OF_EVENT: [(&str, &str); 6] = [
    ("ApiVersion", "apiVersion"),
    ("Id", "id"),
    ("DeviceName", "deviceName"),
    ("ProfileName", "profileName"),
    ("SourceName", "sourceName"),
    ("Origin", "origin"),
];

const OF_READING: [(&str, &str); 7] = [
    ("Id", "id"),
    ("Origin", "origin"),
    ("DeviceName", "deviceName"),
    ("ResourceName", "resourceName"),
    ("ProfileName", "profileName"),
    ("ValueType", "valueType"),
    ("Units", "units"),
];

/// Binary values are base64 here, as in JSON.
const VALUES: [(&str, &str); 3] = [
    ("BinaryValue", "binaryValue"),
    ("MediaType", "mediaType"),
    ("Value", "value"),
];

pub(super) fn of_event(event: &Value) -> Result<String, InvalidName> {
    let mut xml = String::from("<Event>");
    elements(&mut xml, &OF_EVENT, event);
    for reading in event::readings(event) {
        xml.push_str("<Readings>");
        elements(&mut xml, &OF_READING, reading);
        tags(&mut xml, event::tags(reading))?;
        elements(&mut xml, &VALUES, reading);
        if let Some(object) = reading.get("objectValue").filter(|value| !value.is_null()) {
            element(&mut xml, "ObjectValue", Some(object));
        }
        xml.push_str("</Readings>");
    }
    tags(&mut xml, event::tags(event))?;
    xml.push_str("</Event>");
    Ok(xml)
}

fn elements(xml: &mut String, named: &[(&str, &str)], object: &Value) {
    for (name, key) in named {
        element(xml, name, object.get(key));
    }
}

fn element(xml: &mut String, name: &str, value: Option<&Value>) {
    write!(xml, "<{name}>").unwrap_or_default(); // writing to a String cannot fail
    match value {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => push_escaped(xml, text),
        Some(other) => push_escaped(xml, &other.to_string()),
    }
    write!(xml, "</{name}>").unwrap_or_default();
}

fn tags(xml: &mut String, tags: Option<&Map<String, Value>>) -> Result<(), InvalidName> {
    let Some(tags) = tags else {
        return Ok(());
    };
    xml.push_str("<Tags>");
    for (name, value) in tags {
        if !is_name(name) {
            return Err(InvalidName(name.chars().take(60).collect()));
        }
        element(xml, name, Some(value));
    }
    xml.push_str("</Tags>");
    Ok(())
}

/// Whether an element can have this name.
fn is_name(name: &str) -> bool {
    let is_first = |c: char| c.is_alphabetic() || c == '_';
    let is_later = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    name.starts_with(is_first) && name.chars().all(is_later)
}

fn push_escaped(xml: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '&' => xml.push_str("&amp;"),
            '"' => xml.push_str("&#34;"),
            '\'' => xml.push_str("&#39;"),
            '\t' => xml.push_str("&#x9;"),
            '\n' => xml.push_str("&#xA;"),
            '\r' => xml.push_str("&#xD;"),
            // XML has no such characters, and no way to write them.
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => xml.push('\u{fffd}'),
            c => xml.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::event::tests::event;
    use super::*;

    #[test]
    fn an_event_has_its_elements_in_their_order() {
        let mut given = event();
        given["tags"] = json!({"site": "north & south", "line": 4});
        given["readings"][0]["tags"] = json!({"x": "y"});
        let head = "<Event><ApiVersion>v3</ApiVersion><Id>7a1707f0-166f-4c4b-bc9d-1d54c74e0137</Id>\
             <DeviceName>D</DeviceName><ProfileName>P</ProfileName><SourceName>S</SourceName><Origin>1700000000000000000</Origin>";
        let reading = "<Readings><Id>82eb2e26-0f24-48aa-ae4c-de9dac3fb9bc</Id><Origin>1700000000000000000</Origin>\
             <DeviceName>D</DeviceName><ResourceName>resource1</ResourceName><ProfileName>P</ProfileName><ValueType>Int32</ValueType>\
             <Units></Units><Tags><x>y</x></Tags><BinaryValue></BinaryValue><MediaType></MediaType><Value>42</Value></Readings>";
        let tags = "<Tags><line>4</line><site>north &amp; south</site></Tags></Event>";
        assert_eq!(of_event(&given).unwrap(), format!("{head}{reading}{tags}"));
    }

    #[test]
    fn text_is_escaped_and_objects_are_json() {
        let mut given = event();
        given["deviceName"] = json!("<\"a\">'\t\r\n&\u{1}");
        given["readings"][0]["objectValue"] = json!({"a": [1]});
        let xml = of_event(&given).unwrap();
        assert!(
            xml.contains(
                "<DeviceName>&lt;&#34;a&#34;&gt;&#39;&#x9;&#xD;&#xA;&amp;\u{fffd}</DeviceName>"
            ),
            "{xml}"
        );
        assert!(
            xml.contains("<ObjectValue>{&#34;a&#34;:[1]}</ObjectValue>"),
            "{xml}"
        );
    }

    #[test]
    fn a_tag_that_is_not_an_xml_name_is_refused() {
        let mut given = event();
        given["tags"] = json!({"a b": 1});
        assert_eq!(of_event(&given), Err(InvalidName("a b".to_owned())));
    }
}
