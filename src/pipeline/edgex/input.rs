//! What a function gets: an object of one form, or anything as bytes.

use serde_json::Value;

use super::super::extras::Form;
use super::super::record::Record;

/// The event in `record`, for `function`; `nothing` is its text for an empty payload.
pub(super) fn event<'a>(
    function: &str,
    nothing: &str,
    record: &'a mut Record,
) -> Result<&'a Value, String> {
    object(
        function,
        Form::Event,
        [nothing, "type received is not an Event"],
        record,
    )
}

/// The object of this form in `record`; `texts` are those for an empty payload and for another form.
pub(super) fn object<'a>(
    function: &str,
    form: Form,
    texts: [&str; 2],
    record: &'a mut Record,
) -> Result<&'a Value, String> {
    let [nothing, other] = texts;
    if record.form() != form {
        let text = if record.payload().is_empty() {
            nothing
        } else {
            other
        };
        return Err(format!("{function}: {text}"));
    }
    record
        .document()
        .map_err(|err| format!("{function}: {err}"))
}
