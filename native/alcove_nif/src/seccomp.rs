//! Policies of system calls as programs for seccomp(2).
//!
//! The rules of a policy are ordered, and the first that matches a call decides. seccompiler
//! translates the conditions of a rule; its filters have one action for all of their rules, and
//! look at one number after the other. The kernel runs a filter once for every number when it is
//! installed, to find those that are always allowed, so a long way to a number costs the start of
//! every program. Here the program looks for the number by halves, in ranges of numbers of which
//! the policy says the same.
//!
//! Several filters in one process would not work: the kernel takes the most
//! restrictive of their actions, whatever the order, and the first filter would have
//! to allow the calls that install the others.

use rustler::{Env, Term};

/// Compiles a policy for an architecture, `native` or the name of one.
///
/// `{ok, Program}`, `{error, {unknown_syscall, [Name]}}`, `{error, too_large}`, `{error,
/// unsupported}`, or `{'$badarg', Term}` with the part of the policy that is none.
pub fn compile<'a>(env: Env<'a>, policy: Term<'a>, arch: Term<'a>) -> Term<'a> {
    platform::compile(env, policy, arch)
}

/// What a name means on an architecture: a number, `elsewhere` if only other architectures have
/// such a call, or `unknown`.
pub fn number<'a>(env: Env<'a>, name: Term<'a>, arch: Term<'a>) -> Term<'a> {
    platform::number(env, name, arch)
}

/// The names of an architecture's system calls and their numbers.
pub fn calls<'a>(env: Env<'a>, arch: Term<'a>) -> Term<'a> {
    platform::calls(env, arch)
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use crate::terms;
    use rustler::{Encoder, Env, Term};

    pub fn compile<'a>(env: Env<'a>, _policy: Term<'a>, _arch: Term<'a>) -> Term<'a> {
        (terms::error(), super::atoms::unsupported()).encode(env)
    }

    pub fn number<'a>(env: Env<'a>, _name: Term<'a>, _arch: Term<'a>) -> Term<'a> {
        terms::unknown().encode(env)
    }

    pub fn calls<'a>(env: Env<'a>, _arch: Term<'a>) -> Term<'a> {
        Term::list_new_empty(env)
    }
}

mod atoms {
    rustler::atoms! {
        unsupported,
        unknown_syscall,
        too_large,
        elsewhere,
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use super::atoms;
    use crate::terms;
    use alcove_proto::errno;
    use alcove_proto::syscalls::{self, Arch};
    use rustler::types::tuple::get_tuple;
    use rustler::{Atom, Encoder, Env, MapIterator, Term};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule,
        sock_filter,
    };
    use std::collections::BTreeMap;

    /// BPF_MAXINSNS. Every system call and every condition of a rule takes more than one
    /// instruction, so a policy with more of them is refused without reading it to its end.
    const LONGEST: usize = 4096;

    /// The first number that doesn't belong to this architecture. On x86_64, numbers from here on
    /// are those of x32, with which a program could evade every rule.
    const FOREIGN: u32 = 0x4000_0000;

    /// Offsets in struct seccomp_data.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;

    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
    const JUMP_FROM: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const JUMP_IF: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

    /// Why a policy can't be compiled.
    enum Refused<'a> {
        /// This part of it has the wrong shape.
        Shape(Term<'a>),
        /// There are no system calls of these names.
        Unknown(Vec<Term<'a>>),
        TooLarge,
        Unsupported,
    }

    impl Refused<'_> {
        fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
            let reason = match self {
                Refused::Shape(part) => return (terms::badarg(), part).encode(env),
                Refused::Unknown(names) => (atoms::unknown_syscall(), names).encode(env),
                Refused::TooLarge => atoms::too_large().encode(env),
                Refused::Unsupported => atoms::unsupported().encode(env),
            };
            (terms::error(), reason).encode(env)
        }
    }

    pub fn compile<'a>(env: Env<'a>, policy: Term<'a>, arch: Term<'a>) -> Term<'a> {
        let program = match architecture(arch) {
            Some(arch) => Policy::read(policy, arch).and_then(|policy| policy.program()),
            // A policy of the wrong shape is an error on every architecture.
            None => match Policy::read(policy, Arch::X86_64) {
                Err(Refused::Shape(part)) => Err(Refused::Shape(part)),
                _ => Err(Refused::Unsupported),
            },
        };
        match program {
            Ok(program) => (terms::ok(), terms::binary(env, &instructions(&program))).encode(env),
            Err(refused) => refused.encode(env),
        }
    }

    pub fn number<'a>(env: Env<'a>, call: Term<'a>, arch: Term<'a>) -> Term<'a> {
        let Some(name) = name(call).map(|name| name.to_ascii_lowercase()) else {
            return terms::unknown().encode(env);
        };
        let name = syscalls::bare(&name);
        match architecture(arch).and_then(|arch| arch.lookup(name)) {
            Some(number) => number.encode(env),
            None if syscalls::is_known(name) => atoms::elsewhere().encode(env),
            None => terms::unknown().encode(env),
        }
    }

    pub fn calls<'a>(env: Env<'a>, arch: Term<'a>) -> Term<'a> {
        let calls = architecture(arch).map_or(&[][..], Arch::calls);
        let named = calls
            .iter()
            .filter_map(|(name, number)| Some((Atom::from_str(env, name).ok()?, *number)));
        named.collect::<Vec<_>>().encode(env)
    }

    fn architecture(term: Term<'_>) -> Option<Arch> {
        match name(term)?.as_str() {
            "native" => Arch::here(),
            name => Arch::named(name),
        }
    }

    fn instructions(program: &[sock_filter]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size_of_val(program));
        for instruction in program {
            bytes.extend_from_slice(&instruction.code.to_ne_bytes());
            bytes.extend_from_slice(&[instruction.jt, instruction.jf]);
            bytes.extend_from_slice(&instruction.k.to_ne_bytes());
        }
        bytes
    }

    struct Policy {
        arch: Arch,
        default: SeccompAction,
        /// What becomes of the calls of which a rule says something, by their number.
        calls: BTreeMap<u32, Verdict>,
    }

    /// What becomes of a call: the action of the first rule whose conditions hold.
    #[derive(Clone, Default, PartialEq)]
    struct Verdict {
        conditional: Vec<(SeccompRule, SeccompAction)>,
        /// The action if none of them hold: that of a rule without conditions, or the default.
        otherwise: Option<SeccompAction>,
    }

    impl Policy {
        fn read(policy: Term<'_>, arch: Arch) -> Result<Policy, Refused<'_>> {
            let keys = MapIterator::new(policy).ok_or(Refused::Shape(policy))?;
            let (mut default, mut rules) = (None, None);
            for (key, value) in keys {
                match name(key).as_deref() {
                    Some("default") => default = Some(action(value)?),
                    Some("rules") => rules = Some(value),
                    _ => return Err(Refused::Shape(key)),
                }
            }
            let default = default.ok_or(Refused::Shape(policy))?;
            let mut policy = Policy {
                arch,
                default,
                calls: BTreeMap::new(),
            };
            if let Some(rules) = rules {
                policy.read_rules(rules)?;
            }
            Ok(policy)
        }

        fn read_rules<'a>(&mut self, rules: Term<'a>) -> Result<(), Refused<'a>> {
            let mut unknown = Vec::new();
            let mut size = 0;
            for rule in items(rules)? {
                let rule = Rule::read(rule, self.arch)?;
                size += rule.calls.len() * (1 + rule.conditions.len());
                if size > LONGEST {
                    return Err(Refused::TooLarge);
                }
                for call in rule.calls {
                    match call {
                        Ok(number) => {
                            let verdict = self.calls.entry(number).or_default();
                            verdict.add(&rule.conditions, &rule.action);
                        }
                        Err(name) if unknown.contains(&name) => {}
                        Err(name) => unknown.push(name),
                    }
                }
            }
            if unknown.is_empty() {
                Ok(())
            } else {
                Err(Refused::Unknown(unknown))
            }
        }

        fn program<'a>(&self) -> Result<BpfProgram, Refused<'a>> {
            let mut program = vec![
                // Calls of another architecture end the process.
                instruction(LOAD, 0, 0, ARCHITECTURE),
                instruction(JUMP_IF, 1, 0, self.arch.audit()),
                returns(&SeccompAction::KillProcess),
                instruction(LOAD, 0, 0, NUMBER),
            ];
            program.append(&mut search(&self.ranges()));
            if program.len() > LONGEST {
                return Err(Refused::TooLarge);
            }
            Ok(program)
        }

        /// What becomes of every number: of those from each start on, up to the next start.
        fn ranges(&self) -> Vec<(u32, Verdict)> {
            let default = Verdict::always(self.default.clone());
            let unknown = Verdict::always(SeccompAction::Errno(libc::ENOSYS as u32));
            let mut unruled = BTreeMap::from([(0, default.clone())]);
            unruled.insert(self.limit(), unknown.clone());
            if let Some(private) = self.arch.private() {
                unruled.insert(private.start, default);
                unruled.insert(private.end, unknown);
            }
            let mut ranges = unruled.clone();
            for (&number, verdict) in &self.calls {
                if let Some((_, after)) = unruled.range(..=number + 1).next_back() {
                    ranges.entry(number + 1).or_insert_with(|| after.clone());
                }
                let mut verdict = verdict.clone();
                verdict.otherwise.get_or_insert(self.default.clone());
                ranges.insert(number, verdict);
            }
            let mut ranges: Vec<_> = ranges.into_iter().collect();
            ranges.dedup_by(|next, this| next.1 == this.1);
            ranges
        }

        /// The first number that answers ENOSYS.
        ///
        /// If a policy refuses a system call that is newer than the policy, it should answer as an
        /// older kernel would: programs know what to do then.
        fn limit(&self) -> u32 {
            if let SeccompAction::Allow | SeccompAction::Log = self.default {
                return FOREIGN;
            }
            let private = self.arch.private().map_or(FOREIGN, |private| private.start);
            let known = self.arch.calls().iter().map(|(_, number)| number);
            let common = known
                .chain(self.calls.keys())
                .filter(|number| **number < private);
            common.max().map_or(0, |highest| highest + 1)
        }
    }

    impl Verdict {
        fn always(action: SeccompAction) -> Verdict {
            Verdict {
                conditional: Vec::new(),
                otherwise: Some(action),
            }
        }

        /// Adds a rule behind all others.
        fn add(&mut self, conditions: &[SeccompCondition], action: &SeccompAction) {
            if self.otherwise.is_some() {
                return;
            }
            match SeccompRule::new(conditions.to_vec()) {
                Ok(rule) => self.conditional.push((rule, action.clone())),
                // It has no conditions.
                Err(_) => self.otherwise = Some(action.clone()),
            }
        }

        /// A rule that doesn't match goes on behind the instruction that follows it.
        fn program(&self) -> BpfProgram {
            let mut program = BpfProgram::new();
            for (rule, action) in &self.conditional {
                program.append(&mut rule.clone().into());
                program.push(returns(action));
            }
            program.extend(self.otherwise.as_ref().map(returns));
            program
        }
    }

    /// The program that finds the range in which the number is, and what becomes of it.
    fn search(ranges: &[(u32, Verdict)]) -> BpfProgram {
        let (lower, upper) = ranges.split_at(ranges.len() / 2);
        let (mut lower, mut upper, start) = match (lower, upper) {
            ([], [.., (_, verdict)]) => return verdict.program(),
            (_, []) => return BpfProgram::new(),
            (lower, [(start, _), ..]) => (search(lower), search(upper), *start),
        };
        let mut program = match u8::try_from(lower.len()) {
            Ok(over) => vec![instruction(JUMP_FROM, over, 0, start)],
            // Over more than a conditional jump can say.
            Err(_) => vec![
                instruction(JUMP_FROM, 0, 1, start),
                instruction(JUMP, 0, 0, lower.len() as u32),
            ],
        };
        program.append(&mut lower);
        program.append(&mut upper);
        program
    }

    fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
        sock_filter { code, jt, jf, k }
    }

    fn returns(action: &SeccompAction) -> sock_filter {
        instruction(RETURN, 0, 0, action.clone().into())
    }

    struct Rule<'a> {
        /// Numbers, or names that are unknown.
        calls: Vec<Result<u32, Term<'a>>>,
        conditions: Vec<SeccompCondition>,
        action: SeccompAction,
    }

    impl<'a> Rule<'a> {
        /// `Call | {Calls, Action} | {Calls, Conditions} | {Calls, Conditions, Action}`
        fn read(term: Term<'a>, arch: Arch) -> Result<Self, Refused<'a>> {
            let call = |term| call(term, arch);
            let shape = |_| Refused::Shape(term);
            let (calls, conditions, action) = if term.is_tuple() {
                match get_tuple(term).map_err(shape)?[..] {
                    [calls, conditions] if conditions.is_list() => (calls, Some(conditions), None),
                    [calls, action] => (calls, None, Some(action)),
                    [calls, conditions, action] => (calls, Some(conditions), Some(action)),
                    _ => return Err(Refused::Shape(term)),
                }
            } else {
                (term, None, None)
            };
            let calls = if term.is_tuple() && calls.is_list() {
                items(calls)?.into_iter().map(call).collect()
            } else {
                call(calls).map(|call| vec![call])
            };
            let conditions = conditions.map_or(Ok(Vec::new()), items)?;
            Ok(Rule {
                calls: calls?,
                conditions: conditions
                    .into_iter()
                    .map(condition)
                    .collect::<Result<_, _>>()?,
                action: action.map_or(Ok(SeccompAction::Allow), self::action)?,
            })
        }
    }

    /// A list that could be part of a program.
    fn items(list: Term<'_>) -> Result<Vec<Term<'_>>, Refused<'_>> {
        let mut items = Vec::new();
        let mut rest = list;
        while let Ok((head, tail)) = rest.list_get_cell() {
            if items.len() == LONGEST {
                return Err(Refused::TooLarge);
            }
            items.push(head);
            rest = tail;
        }
        if rest.is_empty_list() {
            Ok(items)
        } else {
            Err(Refused::Shape(list))
        }
    }

    fn name(term: Term<'_>) -> Option<String> {
        term.is_atom()
            .then(|| term.atom_to_string().unwrap_or_default())
    }

    /// The number of a system call; its name if it has no number on this architecture.
    fn call(term: Term<'_>, arch: Arch) -> Result<Result<u32, Term<'_>>, Refused<'_>> {
        match name(term).map(|name| name.to_ascii_lowercase()) {
            Some(name) => {
                let number = arch.lookup(syscalls::bare(&name));
                Ok(number.ok_or(term))
            }
            None => match term.decode::<u32>() {
                Ok(number) if number < FOREIGN => Ok(Ok(number)),
                _ => Err(Refused::Shape(term)),
            },
        }
    }

    fn action(term: Term<'_>) -> Result<SeccompAction, Refused<'_>> {
        let action = match name(term).as_deref() {
            Some("allow") => Some(SeccompAction::Allow),
            Some("log") => Some(SeccompAction::Log),
            Some("trap") => Some(SeccompAction::Trap),
            Some("kill" | "kill_process") => Some(SeccompAction::KillProcess),
            Some("kill_thread") => Some(SeccompAction::KillThread),
            _ => match get_tuple(term).as_deref() {
                Ok([kind, number]) if name(*kind).as_deref() == Some("errno") => {
                    error_number(*number).map(SeccompAction::Errno)
                }
                _ => None,
            },
        };
        action.ok_or(Refused::Shape(term))
    }

    /// The kernel makes [`errno::MAX`] of larger numbers.
    fn error_number(term: Term<'_>) -> Option<u32> {
        let number = match name(term) {
            Some(wanted) => (1..=errno::MAX).find(|n| errno::name(*n) == Some(&*wanted)),
            None => term.decode::<u32>().ok()?.try_into().ok(),
        };
        number.filter(|n| *n <= errno::MAX).map(u32::from)
    }

    /// `{Argument, Operator, Value, Bits}`
    fn condition(term: Term<'_>) -> Result<SeccompCondition, Refused<'_>> {
        let read = || {
            let [argument, operator, value, bits] = get_tuple(term).ok()?[..] else {
                return None;
            };
            let length = match bits.decode::<u32>().ok()? {
                32 => SeccompCmpArgLen::Dword,
                64 => SeccompCmpArgLen::Qword,
                _ => return None,
            };
            let operator = match (name(operator).as_deref(), get_tuple(operator).as_deref()) {
                (Some("eq"), _) => SeccompCmpOp::Eq,
                (Some("ne"), _) => SeccompCmpOp::Ne,
                (Some("lt"), _) => SeccompCmpOp::Lt,
                (Some("le"), _) => SeccompCmpOp::Le,
                (Some("gt"), _) => SeccompCmpOp::Gt,
                (Some("ge"), _) => SeccompCmpOp::Ge,
                (_, Ok([kind, mask])) if name(*kind).as_deref() == Some("masked_eq") => {
                    SeccompCmpOp::MaskedEq(word(*mask, &length)?)
                }
                _ => return None,
            };
            let value = word(value, &length)?;
            let argument = argument.decode::<u32>().ok()?.try_into().ok()?;
            SeccompCondition::new(argument, length, operator, value).ok()
        };
        read().ok_or(Refused::Shape(term))
    }

    /// A number of so many bits; a negative one is its complement.
    fn word(term: Term<'_>, length: &SeccompCmpArgLen) -> Option<u64> {
        match length {
            SeccompCmpArgLen::Dword => {
                let negative = || term.decode::<i32>().map(|number| number as u32);
                term.decode::<u32>().or_else(|_| negative()).map(u64::from)
            }
            SeccompCmpArgLen::Qword => {
                let negative = || term.decode::<i64>().map(|number| number as u64);
                term.decode::<u64>().or_else(|_| negative())
            }
        }
        .ok()
    }
}
