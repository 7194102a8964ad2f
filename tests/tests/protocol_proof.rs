//! The rules of the protocol imply agreement and one end of each epoch, as Z3 sees it, and none of them is idle.

use std::path::Path;
use std::process::Command;

use city_tests::python::interpreter;

#[test]
fn agreement_follows_from_the_rules_and_from_no_fewer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proof");
    let python = match interpreter("z3-solver-5.4.1.0", &folder.join("requirements.txt")) {
        Ok(python) => python,
        Err(why) => return city_tests::skip("agreement_follows_from_the_rules_and_from_no_fewer", &why),
    };
    let done = Command::new(python).arg(folder.join("agreement.py")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    println!("{said}");
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(said.matches("\nproved: ").count(), 8);
    assert_eq!(said.matches("goes wrong with ").count(), 13);
}
