/// The option nearest to `word`, when it is near enough to be what was meant.
///
/// Case, `-` and `_` do not count (`publicAccess` means `public_access`); otherwise one mistake
/// per three characters is forgiven.
pub fn closest<'a>(word: &str, options: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = fold(word);
    let allowed = (plain.len() / 3).max(1);
    options
        .into_iter()
        .map(|option| (distance(&plain, &fold(option)), option))
        // A suggestion that shares nothing with a one-letter word helps nobody.
        .filter(|(distance, option)| {
            *distance <= allowed && (*distance == 0 || *distance < option.chars().count())
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, option)| option)
}

fn fold(word: &str) -> Vec<char> {
    word.chars().take(80).filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, substitutions and swaps of neighbours between two words.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn suggests_what_was_probably_meant() {
        let options = ["public_access", "subnets", "storage", "vpc", "nat"];
        for (word, want) in [
            ("publicAccess", Some("public_access")),
            ("public-access", Some("public_access")),
            ("subnet", Some("subnets")),
            ("stroage", Some("storage")),
            ("vcp", Some("vpc")),
            ("x", None),
            ("", None),
            ("workspaces", None),
        ] {
            assert_eq!(closest(word, options), want, "{word}");
        }
    }
}
