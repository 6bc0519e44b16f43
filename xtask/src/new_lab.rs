//! `new-lab`: lays out a lab with all that the grader wants of one, so that what is missing is named by the tests.

use std::fs;
use std::path::Path;

use grader::exit::{Exit, Problem};
use grader::grade::unwritable;
use grader::house;

/// Lays out the lab `name` with its programs.
pub fn new_lab(name: &str, programs: &[String]) -> Result<Exit, Problem> {
    let good = |word: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        word.starts_with(|first: char| first.is_ascii_lowercase()) && word.bytes().all(plain)
    };
    if let Some(odd) = programs.iter().map(String::as_str).chain([name]).find(|word| !good(word)) {
        return Err(Problem::usage(format!("{odd:?} is no name for it"), "use small letters, digits and -"));
    }
    if house::labs().join(name).exists() || house::solutions().join(name).exists() {
        return Err(Problem::usage(format!("there is a lab {name} already"), "take another name"));
    }
    for (path, text) in files(name, programs) {
        write(&house::root().join(path), &text)?;
    }
    let list = programs.iter().map(|program| format!("{program:?}")).collect::<Vec<_>>().join(", ");
    let module = name.replace('-', "_");
    write(
        &house::root().join(format!("grader/src/suites/{module}.rs")),
        &format!(
            "//! Core checks of the lab `{name}`.\n\nuse crate::check::Suite;\n\n/// The rubric, in teaching order.\npub const SUITE: Suite = Suite {{ lab: \"{name}\", programs: &[{list}], checks: &[] }};\n"
        ),
    )?;
    write(
        &house::root().join(format!("grader/src/hidden/{module}.rs")),
        &format!(
            "//! Robust and bonus checks of the lab `{name}`.\n\nuse crate::check::Check;\n\n/// The rubric, in teaching order.\npub const CHECKS: &[Check] = &[];\n"
        ),
    )?;
    let lists = [
        ("grader/src/suites/mod.rs", "mod raw;\n", format!("mod {module};\n")),
        ("grader/src/suites/mod.rs", "    raw::SUITE,\n", format!("    {module}::SUITE,\n")),
        ("grader/src/hidden/mod.rs", "mod raw;\n", format!("mod {module};\n")),
        (
            "grader/src/hidden/mod.rs",
            "        _ => &[],\n",
            format!("        \"{name}\" => {module}::CHECKS,\n"),
        ),
    ];
    for (file, mark, text) in &lists {
        insert_before(file, mark, text)?;
    }
    println!("laid out labs/{name}, solutions/{name} and the lab's suites");
    println!(
        "next: cargo fmt; link it in labs/README.md; write the solution, the handout, the checks, then `cargo xtask stubs`"
    );
    println!("      `cargo test -p grader --test suites -- {name}::` says what is still missing");
    Ok(Exit::Passed)
}

/// The lab's own files, by their path below the root.
fn files(name: &str, programs: &[String]) -> Vec<(String, String)> {
    let mut files = vec![
        (format!("labs/{name}/Cargo.toml"), manifest(name, programs, "", "tests/visible.rs")),
        (
            format!("solutions/{name}/Cargo.toml"),
            manifest(name, programs, "-solution", &format!("../../labs/{name}/tests/visible.rs")),
        ),
        (
            format!("labs/{name}/tests/visible.rs"),
            "//! What a student runs: `cargo test -p` and the lab's name.\n".to_string(),
        ),
        (
            format!("solutions/{name}/mutants.toml"),
            "# The reference with one deliberate mistake each: what shows that a check can fail.\n"
                .to_string(),
        ),
        (
            format!("solutions/{name}/variants.toml"),
            "# Correct programs in other styles and languages: what shows that a check is fair.\n"
                .to_string(),
        ),
        (
            format!("labs/{name}/README.md"),
            format!(
                "# {name}\n\n## The contract\n\n| no. | level | requirement |\n|---|---|---|\n| {name}.0 | robust | the conventions for every program |\n"
            ),
        ),
    ];
    for program in programs {
        let solution = "//! What the program does, in a sentence.\n\nfn main() {\n    // solution: todo!(\"say what to do\")\n    // :solution\n}\n";
        files.push((format!("solutions/{name}/src/bin/{program}.rs"), solution.to_string()));
        let stub =
            "//! What the program does, in a sentence.\n\nfn main() {\n    todo!(\"say what to do\")\n}\n";
        files.push((format!("labs/{name}/src/bin/{program}.rs"), stub.to_string()));
    }
    files
}

fn manifest(name: &str, programs: &[String], suffix: &str, tests: &str) -> String {
    let mut text = format!("[package]\nname = \"{name}{suffix}\"\n");
    for key in ["version", "edition", "rust-version", "license", "publish"] {
        text += &format!("{key}.workspace = true\n");
    }
    text += "autobins = false\nautotests = false\n";
    for program in programs {
        text += &format!("\n[[bin]]\nname = \"{program}{suffix}\"\npath = \"src/bin/{program}.rs\"\n");
    }
    text += &format!("\n[[test]]\nname = \"visible\"\npath = \"{tests}\"\n\n[dependencies]\n");
    for library in ["byteorder", "labkit", "nix", "socket2"] {
        text += &format!("{library}.workspace = true\n");
    }
    text += "\n[dev-dependencies]\n";
    for library in ["assert_cmd", "predicates", "rstest"] {
        text += &format!("{library}.workspace = true\n");
    }
    text + "\n[lints]\nworkspace = true\n"
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let above = path.parent().unwrap_or(path);
    fs::create_dir_all(above).and_then(|()| fs::write(path, text)).map_err(|error| unwritable(path, &error))
}

/// Inserts a line before the one that is there in every checkout.
fn insert_before(file: &str, mark: &str, text: &str) -> Result<(), Problem> {
    let path = house::root().join(file);
    let before = fs::read_to_string(&path).map_err(|error| unwritable(&path, &error))?;
    if !before.contains(mark) {
        return Err(Problem::usage(
            format!("{file} has no line {mark:?}"),
            format!("insert {text:?} by hand"),
        ));
    }
    write(&path, &before.replacen(mark, &format!("{text}{mark}"), 1))
}
