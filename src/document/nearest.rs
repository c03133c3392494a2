//! Suggests the known word that was probably meant.

/// The first of the known words closest to `word`, if one is close enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = word.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|candidate| (distance(&simple(word), &simple(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case, `-` and `_` are ignored: `maxbodybytes` and `max_body_bytes` both stand for `maxBodyBytes`.
fn simple(word: &str) -> Vec<char> {
    word.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// The number of characters to insert, remove or change.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != y))
                .min(above + 1)
                .min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized_and_other_words_are_not() {
        let known = ["functions", "urlPathTemplate", "maxNumBatchRequests", "id"];
        assert_eq!(nearest("function", known), Some("functions"));
        assert_eq!(nearest("url_path_template", known), Some("urlPathTemplate"));
        assert_eq!(
            nearest("maxNumBatchRequest", known),
            Some("maxNumBatchRequests")
        );
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("ix", known), Some("id"));
    }

    #[test]
    fn distance_counts_edits() {
        let d = |a: &str, b: &str| distance(&simple(a), &simple(b));
        assert_eq!(d("kitten", "sitting"), 3);
        assert_eq!(d("", "abc"), 3);
        assert_eq!(d("abc", "abc"), 0);
    }
}
