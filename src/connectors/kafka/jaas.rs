//! The user name and password in a `sasl.jaas.config`.

/// What a `sasl.jaas.config` must be. The value itself is a secret.
pub(super) const EXPECTED: &str = "expected `<login module> required username=\"…\" password=\"…\";` of a PlainLoginModule or a ScramLoginModule, with a user name and a password";

/// The values that Java's `PlainLoginModule` and `ScramLoginModule` read from
/// `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`.
pub(super) fn credentials(config: &str) -> Option<(String, String)> {
    let mut words = config.split_whitespace();
    let module = words.next()?.rsplit('.').next()?;
    let flag = words.next()?.to_ascii_lowercase();
    let is_known = ["PlainLoginModule", "ScramLoginModule"].contains(&module);
    let is_flag = ["required", "requisite", "sufficient", "optional"].contains(&&*flag);
    if !(is_known && is_flag && config.trim_end().ends_with(';')) {
        return None;
    }
    let mut rest = config.trim();
    let mut user = None;
    let mut password = None;
    while let Some((before, behind)) = rest.split_once('=') {
        let name = before.trim().rsplit(char::is_whitespace).next()?;
        let (value, behind) = value(behind.trim_start())?;
        match name {
            "username" => user = Some(value),
            "password" => password = Some(value),
            _ => {}
        }
        rest = behind;
    }
    Some((user?, password?))
}

/// A quoted text, in which a backslash escapes the next character; or a word.
fn value(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| *c == '"' || *c == '\'');
    let Some(quote) = quote else {
        let end = text.find(|c: char| c.is_whitespace() || c == ';');
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        return Some((word.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            c if c == quote => return Some((value, text.get(at + 1..)?)),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_read_as_java_reads_them() {
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule required";
        for (fields, expected) in [
            (r#"username="u" password="p";"#, Some(("u", "p"))),
            (r#"password='a b' username=u ;"#, Some(("u", "a b"))),
            (r#"username="a=\"b\"" password="";"#, Some((r#"a="b""#, ""))),
            (r#"username="u";"#, None),
            (r#"username="u" password="p"#, None),
            // The semicolon is missing.
            (r#"username="u" password="p""#, None),
            ("", None),
        ] {
            let found = credentials(&format!("{module} {fields}"));
            let found = found
                .as_ref()
                .map(|(user, password)| (&**user, &**password));
            assert_eq!(found, expected, "{fields}");
        }
    }

    #[test]
    fn anything_but_a_login_module_is_refused() {
        for config in [
            "garbage",
            r#"username="u" password="p";"#,
            r#"a.b.Krb5LoginModule required username="u" password="p";"#,
            r#"a.b.PlainLoginModule maybe username="u" password="p";"#,
        ] {
            assert_eq!(credentials(config), None, "{config}");
        }
    }
}
