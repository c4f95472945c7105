//! The documents list every kind of problem, as it is.

use common::problem::Slug;

#[test]
fn every_problem_kind_is_in_the_architecture_document() {
    let document = include_str!("../../../docs/architecture.md");
    let documented: Vec<&str> = document
        .lines()
        .skip_while(|line| !line.starts_with("| slug |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let real: Vec<String> = Slug::ALL
        .iter()
        .map(|slug| {
            let status = slug.status().as_u16();
            format!("| `{}` | {status} | {} |", slug.as_str(), slug.title())
        })
        .collect();
    assert_eq!(documented, real);
}
