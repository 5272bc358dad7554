//! The environment: what getenv(3) finds and an exec'ed program inherits.

use crate::process::Process;
use crate::reply::{Bare, List, Outcome};
use crate::sys::environ as sys;
use std::ffi::CStr;

/// clearenv(3).
pub fn clearenv(_: &mut Process) -> Outcome {
    sys::clear();
    Ok(())
}

/// environ(7): the variables, as `NAME=value`.
pub fn environ(_: &mut Process) -> Bare<List<Vec<u8>>> {
    Bare(List(sys::all()))
}

/// getenv(3): the value of a variable, `false` when there is none of that name.
pub fn getenv(_: &mut Process, name: &CStr) -> Bare<Option<Vec<u8>>> {
    Bare(sys::get(name))
}

/// setenv(3): `{error, einval}` when the name is empty or has a `=` in it.
pub fn setenv(_: &mut Process, name: &CStr, value: &CStr, overwrite: i32) -> Outcome {
    Ok(sys::set(name, value, overwrite)?)
}

/// unsetenv(3): `{error, einval}` when the name is empty or has a `=` in it.
pub fn unsetenv(_: &mut Process, name: &CStr) -> Outcome {
    Ok(sys::unset(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{in_child, process, text};

    #[test]
    fn variables_are_set_and_unset() {
        in_child(|| {
            let mut p = process();
            assert_eq!(text(&clearenv(&mut p)), "ok");
            assert_eq!(text(&environ(&mut p)), "[]");
            assert_eq!(text(&getenv(&mut p, c"A")), "false");
            assert_eq!(text(&setenv(&mut p, c"A", c"1", 0)), "ok");
            assert_eq!(text(&setenv(&mut p, c"A", c"2", 0)), "ok");
            assert_eq!(text(&getenv(&mut p, c"A")), r#""1""#);
            assert_eq!(text(&setenv(&mut p, c"A", c"2=", 1)), "ok");
            assert_eq!(text(&setenv(&mut p, c"B", c"", 1)), "ok");
            assert_eq!(text(&environ(&mut p)), r#"["A=2=","B="]"#);
            assert_eq!(text(&getenv(&mut p, c"B")), r#""""#);
            assert_eq!(text(&unsetenv(&mut p, c"A")), "ok");
            assert_eq!(text(&unsetenv(&mut p, c"A")), "ok");
            assert_eq!(text(&environ(&mut p)), r#"["B="]"#);
        });
    }

    #[test]
    fn the_environment_can_be_cleared_again_and_again() {
        in_child(|| {
            let mut p = process();
            for _ in 0..3 {
                assert_eq!(text(&setenv(&mut p, c"A", c"1", 1)), "ok");
                assert_eq!(text(&clearenv(&mut p)), "ok");
                assert_eq!(text(&unsetenv(&mut p, c"A")), "ok");
                assert_eq!(text(&environ(&mut p)), "[]");
            }
        });
    }

    #[test]
    fn names_are_checked() {
        in_child(|| {
            let mut p = process();
            for name in [c"", c"A=B", c"="] {
                assert_eq!(text(&setenv(&mut p, name, c"1", 1)), "{error,einval}");
                assert_eq!(text(&unsetenv(&mut p, name)), "{error,einval}");
                assert_eq!(text(&getenv(&mut p, name)), "false");
            }
        });
    }

    #[test]
    fn thousands_of_variables_fit() {
        in_child(|| {
            let mut p = process();
            assert_eq!(text(&clearenv(&mut p)), "ok");
            let names: Vec<_> = (0..5000)
                .map(|n| std::ffi::CString::new(format!("V{n}")).expect("no NUL"))
                .collect();
            for name in &names {
                assert_eq!(setenv(&mut p, name, name, 1), Ok(()));
            }
            assert_eq!(environ(&mut p).0.0.len(), 5000);
            assert_eq!(
                getenv(&mut p, c"V4999").0.as_deref(),
                Some(b"V4999".as_slice())
            );
        });
    }
}
