//! Values of a file that become JSON: what JSON cannot hold is a fault, and a number that loses digits is a warning.

use super::at::At;
use super::finding::Complaint;
use super::node::Value;

/// The most digits that a number with a fraction or an exponent keeps.
const EXACT_DIGITS: usize = 17;

impl At<'_> {
    /// The value as JSON.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        self.check_exact()?;
        Some(self.node.to_json())
    }

    fn check_exact(&self) -> Option<()> {
        match &self.node.value {
            Value::Text(text) if self.node.is_plain && is_not_finite(text) => {
                let written = self.node.written.as_deref().unwrap_or(text);
                self.complain(Complaint::with_remedy(
                    format!("`{written}` is not a number that JSON can hold"),
                    format!("write another number, or quote it to mean the text: `\"{written}\"`"),
                ))
            }
            Value::Number(number) => {
                let written = self.node.written.as_deref().unwrap_or_default();
                if number.is_f64() && loses_digits(written) {
                    self.warn(Complaint::with_remedy(
                        format!(
                            "`{written}` has more digits than a number keeps: it becomes {number}"
                        ),
                        format!("to keep the digits, quote them: `\"{written}\"`"),
                    ));
                }
                Some(())
            }
            Value::List(_) => all(self.clone().items()?),
            Value::Map(entries) => {
                let child = |(key, node): &(super::Key, super::Node)| {
                    self.child(&key.name, node).check_exact()
                };
                // All are checked, so that all faults are found.
                entries.iter().map(child).fold(Some(()), Option::and)
            }
            Value::Null | Value::Bool(_) | Value::Text(_) => Some(()),
        }
    }
}

fn all(items: Vec<At<'_>>) -> Option<()> {
    let checked = items.iter().map(At::check_exact);
    checked.fold(Some(()), Option::and)
}

/// What YAML reads as a number without a value in JSON, and what a number that is too large becomes.
fn is_not_finite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    [".nan", ".inf"]
        .iter()
        .any(|name| unsigned.eq_ignore_ascii_case(name))
}

/// Whether a number read as a float has more digits than that keeps.
fn loses_digits(written: &str) -> bool {
    let digits = written.split(['e', 'E']).next().unwrap_or_default();
    let is_whole = digits.len() == written.len() && !digits.contains('.');
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    let digits = if is_whole {
        digits
    } else {
        digits.trim_end_matches('0')
    };
    digits.len() > EXACT_DIGITS
}
