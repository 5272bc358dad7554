defmodule Alcove do
  @moduledoc """
  Runs programs, and leaves nothing of them.

      iex> {:ok, result} = Alcove.run(["echo", "hello"])
      iex> {result.status, result.stdout}
      {0, "hello\\n"}

  A program ends with the process that runs it, and everything that it has started ends with it,
  including processes in the background and in sessions of their own.

    * `run/3` and `run!/3` run a program and return its result
    * `pipe/3` and `pipe!/3` run programs that are joined by pipes
    * `cmd/3` replaces `System.cmd/3`
    * `stream!/3` returns a program as a stream, to read from and to write to
    * `Alcove.Daemon` keeps a program running under a supervisor
    * `Alcove.Sandbox` runs a program that isn't trusted

  ## What to run

  A program and its arguments are a list of strings, `run(["ls", "-l"])`; or the program comes
  first, as in `System.cmd/3`: `run("ls", ["-l"])`. No shell interprets them. To use a shell, run
  it like any other program: `run(["sh", "-c", "ls | wc -l"])`.

  ## On which Drv

  A *Drv* is the root of a tree of Unix processes: what `:alcove_drv.start/1` returns, or the name
  that it was started with. Pass it as the option `drv:`, or as the first argument, before the list:
  `run(drv, ["ls"])`. Without one, the Drv of the application is used, `:alcove_drv.default/0`.

  ## Options

  The options of `:alcove_proc`, as keywords or a map. Among them:

    * `stdin:` - what the program reads: a string, `{:file, path}`, or nothing
    * `stdout:`, `stderr:` - `:collect` (16 MiB at most, `{:collect, max}` otherwise), `:discard`,
      `{:file, path}`, a function that is called with each piece; and `stderr: :stdout`
    * `timeout:` - milliseconds; after that the program is asked to end, and after another `grace:`
      (5000) it is killed
    * `cwd:`, `env:`, `clearenv:` - where it starts, and with which variables
    * `user:`, `group:`, `capabilities:`, `no_new_privs:`, `seccomp:` - what it is allowed to do
    * `rlimits:`, `cgroup:`, `nice:`, `cpus:` - how much it may use
    * `namespaces:`, `chroot:`, `hostname:` - what it sees
    * `pty:` - a terminal

  A wrong option raises `ArgumentError`.
  """

  alias Alcove.{Command, Lines, Result}

  @type drv :: pid | atom | {:start, keyword | map}
  @type argv :: [String.t() | charlist, ...]
  @type programs :: [argv | {argv, options}, ...]
  @type options :: [{atom, term}] | map
  @type reason :: term

  @doc """
  Runs a program and returns when it has ended, and all that it has started.

  See `run/3`.
  """
  @spec run(argv | String.t() | drv, options | argv) :: {:ok, Result.t()} | {:error, reason}
  def run(command, options_or_arguments \\ []) do
    command |> Command.new(options_or_arguments) |> do_run()
  end

  @doc """
  Runs a program and returns when it has ended, and all that it has started.

  The first two arguments are a program and its arguments, or a Drv and a list of both; see
  above. A program that ends with any exit status has a result:

      iex> {:ok, result} = Alcove.run("sh", ["-c", "echo oops >&2; exit 3"], [])
      iex> {result.status, result.stderr}
      {3, "oops\\n"}

      iex> {:ok, result} = Alcove.run(["sort"], stdin: "b\\na\\n")
      iex> result.stdout
      "a\\nb\\n"

  If the program could not be run, the function returns `{:error, {call, reason}}` with the system
  call that failed. If the program was killed because it took too long or wrote too much, it returns
  `{:error, {:timeout, result}}` or `{:error, {{:output_limit, stream}, result}}`:

      iex> Alcove.run(["no-such-program"])
      {:error, {:execvp, :enoent}}

      iex> {:error, {:timeout, result}} = Alcove.run(["sleep", "1000"], timeout: 100)
      iex> result.status
      {:termsig, :sigterm}

  `:alcove.format_error/1` explains errors in words.
  """
  @spec run(String.t() | drv, argv | [], options) :: {:ok, Result.t()} | {:error, reason}
  def run(program_or_drv, arguments, options) do
    program_or_drv |> Command.new(arguments, options) |> do_run()
  end

  defp do_run(command), do: command |> Command.call(:run) |> Command.outcome()

  @doc """
  As `run!/3`.
  """
  @spec run!(argv | String.t() | drv, options | argv) :: Result.t()
  def run!(command, options_or_arguments \\ []) do
    command |> Command.new(options_or_arguments) |> do_run!()
  end

  @doc """
  As `run/3`, and raises `Alcove.Error` unless the program ends with the status 0.

      iex> Alcove.run!(["uname"]).stdout
      "Linux\\n"

      iex> Alcove.run!(["ls", "/nowhere"], env: %{"LC_ALL" => "C"})
      ** (Alcove.Error) ls ended with the status 2:
      ls: cannot access '/nowhere': No such file or directory
  """
  @spec run!(String.t() | drv, argv | [], options) :: Result.t()
  def run!(program_or_drv, arguments, options) do
    program_or_drv |> Command.new(arguments, options) |> do_run!()
  end

  defp do_run!(command) do
    command |> Command.call(:run) |> Command.success!(Command.program(command))
  end

  @doc """
  Runs programs that are joined by pipes, as `a | b | c` of a shell.

  See `pipe/3`.
  """
  @spec pipe(programs | drv, options | programs) :: {:ok, Result.t()} | {:error, reason}
  def pipe(programs, options \\ [])
  def pipe(programs, options) when is_list(programs), do: do_pipe(nil, programs, options)
  def pipe(drv, programs), do: do_pipe(drv, programs, [])

  @doc """
  Runs programs that are joined by pipes, as `a | b | c` of a shell, and returns when all of them
  have ended, and all that they have started.

      iex> {:ok, result} = Alcove.pipe([["echo", "hello"], ["tr", "a-z", "A-Z"], ["tr", "-d", "L"]])
      iex> {result.stdout, result.statuses}
      {"HEO\\n", [0, 0, 0]}

      iex> {:ok, result} = Alcove.pipe([["yes"], ["head", "-n", "1"]])
      iex> {result.stdout, result.statuses}
      {"y\\n", [{:termsig, :sigpipe}, 0]}

  The bytes in the pipes don't pass the virtual machine. Options are those of `run/3`: `stdin:` is
  for the first program, `stdout:` for the last, `timeout:` for all together, and the others are for
  each program. A program with options of its own is a pair:

      iex> {:ok, result} =
      ...>   Alcove.pipe([["cat"], {["sort"], env: %{"LC_ALL" => "C"}}], stdin: "b\\nA\\n")
      iex> result.stdout
      "A\\nb\\n"

  The result is that of the last program, with `stderr`, times and memory of all; `programs` has the
  result of each. The error of a program that could not be run has its place:

      iex> Alcove.pipe([["cat"], ["no-such-program"]])
      {:error, {:program, 2, {:execvp, :enoent}}}

  See `:alcove_proc.pipe/3`.
  """
  @spec pipe(drv, programs, options) :: {:ok, Result.t()} | {:error, reason}
  def pipe(drv, programs, options), do: do_pipe(drv, programs, options)

  defp do_pipe(drv, programs, options) do
    drv |> Command.pipe(programs, options) |> Command.call(:pipe) |> Command.outcome()
  end

  @doc """
  As `pipe!/3`.
  """
  @spec pipe!(programs | drv, options | programs) :: Result.t()
  def pipe!(programs, options \\ [])
  def pipe!(programs, options) when is_list(programs), do: do_pipe!(nil, programs, options)
  def pipe!(drv, programs), do: do_pipe!(drv, programs, [])

  @doc """
  As `pipe/3`, and raises `Alcove.Error` unless the last program ends with the status 0.

      iex> Alcove.pipe!([["yes"], ["head", "-n", "1"]]).stdout
      "y\\n"

      iex> Alcove.pipe!([["echo", "a"], ["grep", "b"]])
      ** (Alcove.Error) echo | grep ended with the status 1

  As in a shell, the other programs may end as they like; `statuses` of the result has how they
  ended.
  """
  @spec pipe!(drv, programs, options) :: Result.t()
  def pipe!(drv, programs, options), do: do_pipe!(drv, programs, options)

  defp do_pipe!(drv, programs, options) do
    command = Command.pipe(drv, programs, options)
    command |> Command.call(:pipe) |> Command.success!(Command.pipeline(command))
  end

  @doc """
  Replaces `System.cmd/3`: returns what the program wrote and its status.

      iex> Alcove.cmd("echo", ["hello"])
      {"hello\\n", 0}

      iex> Alcove.cmd("sh", ["-c", "echo $NAME; pwd"],
      ...>   env: [{"NAME", "me"}],
      ...>   cd: "/",
      ...>   into: [],
      ...>   lines: 1024
      ...> )
      {["me", "/"], 0}

  The differences: the program ends when the caller does, its standard input is empty and doesn't
  stay open for ever, and there is `timeout:`.

      iex> Alcove.cmd("sh", ["-c", "echo begun; exec sleep 1000"], timeout: 2000)
      {"begun\\n", :timeout}

  ## Options

    * `into:`, `lines:`, `cd:`, `env:`, `arg0:`, `stderr_to_stdout:` - as for `System.cmd/3`.
      Without `stderr_to_stdout:` the program's stderr goes to the stderr of the virtual machine
    * `parallelism:` - accepted without effect: the programs of a Drv are served in parallel to
      Erlang's processes anyway
    * `timeout:` - milliseconds; after that the program is killed, and the status is `:timeout`
    * all others of `run/3`, except `stdout:` and `stderr:`

  A program that was ended by a signal has as its status 128 plus the signal's number.

  Raises what `System.cmd/3` raises: `ArgumentError` for wrong arguments, `ErlangError` with a
  reason such as `:enoent` when there is no such program, or no such directory.
  """
  @spec cmd(String.t(), [String.t()], options) :: {Collectable.t(), non_neg_integer | :timeout}
  def cmd(program, arguments, options \\ []) when is_binary(program) and is_list(arguments) do
    command = Command.new(program, arguments, options)
    {into, given} = Keyword.pop(command.options, :into, "")
    {lines, given} = Keyword.pop(given, :lines)
    {merge, given} = Keyword.pop(given, :stderr_to_stdout, false)
    {parallelism, given} = Keyword.pop(given, :parallelism, false)
    {cd, given} = Keyword.pop(given, :cd)

    for {name, flag} <- [stderr_to_stdout: merge, parallelism: parallelism],
        not is_boolean(flag) do
      wrong(name, flag)
    end

    for {name, value} <- Keyword.take(given, [:stdout, :stderr, :active, :owner, :pty]) do
      wrong(name, value)
    end

    is_nil(lines) or (is_integer(lines) and lines > 0) || wrong(:lines, lines)

    options =
      [
        stdout: :message,
        stderr: if(merge, do: :stdout, else: :console),
        stdin: :none,
        active: false
      ]
      |> Keyword.merge(if cd, do: [cwd: cd], else: [])
      |> Keyword.merge(given)

    argv = [executable(program, command) | arguments]
    command = %{command | argv: argv, options: options}

    case Command.call(command, :start) do
      {:ok, pid} -> collected(command, pid, into, lines && Lines.new())
      {:error, {_call, posix}} when is_atom(posix) -> :erlang.error(posix)
      {:error, reason} -> :erlang.error(reason)
    end
  end

  # If the program is looked up on this machine, it is found as System.cmd/3 finds it.
  defp executable(program, %Command{drv: drv, options: options}) do
    elsewhere =
      Enum.any?([:in, :chroot, :namespaces], &Keyword.has_key?(options, &1)) or
        (is_pid(drv) and node(drv) != node())

    cond do
      elsewhere or Path.type(program) == :absolute or String.contains?(program, "\0") -> program
      found = System.find_executable(program) -> found
      true -> :erlang.error(:enoent)
    end
  end

  defp collected(command, pid, into, lines) do
    {acc, collector} = Collectable.into(into)

    try do
      gathered(pid, acc, collector, lines)
    catch
      kind, reason ->
        collector.(acc, :halt)
        Command.halt(command, pid)
        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      acc ->
        status = status(:alcove_proc.await(pid))
        {collector.(acc, :done), status}
    end
  end

  defp gathered(pid, acc, collector, lines) do
    case :alcove_proc.read(pid) do
      {:ok, {:stdout, data}} when lines == nil ->
        gathered(pid, collector.(acc, {:cont, data}), collector, lines)

      {:ok, {:stdout, data}} ->
        {whole, lines} = Lines.add(lines, data)
        gathered(pid, put(whole, acc, collector), collector, lines)

      :eof ->
        put(if(lines, do: Lines.rest(lines), else: []), acc, collector)
    end
  end

  defp put(elements, acc, collector) do
    Enum.reduce(elements, acc, &collector.(&2, {:cont, &1}))
  end

  # The status that a shell and a port give for a signal.
  @signalled 128

  defp status({:ok, %{status: {:termsig, signal}}}) do
    @signalled + :alcove_nif.define(:signal, signal)
  end

  defp status({:ok, %{status: status}}), do: status
  defp status({:error, {:timeout, _}}), do: :timeout
  defp status({:error, reason}), do: :erlang.error(reason)

  @doc """
  A program as a stream: what it writes is read, and what is collected into it is written to it.

  See `stream!/3`.
  """
  @spec stream!(argv | String.t() | drv, options | argv) :: Alcove.Stream.t()
  def stream!(command, options_or_arguments \\ []) do
    command |> Command.new(options_or_arguments) |> Alcove.Stream.new()
  end

  @doc ~S"""
  A program as a stream: what it writes is read, and what is collected into it is written to it.

  The program starts each time the stream is enumerated. Output that isn't asked for stays in the
  pipe, and the program waits, so a stream takes no more memory than its reader does. When the
  reader has enough, fails or ends, the program is ended.

      iex> Alcove.stream!(["seq", "3"]) |> Enum.join()
      "1\n2\n3\n"

      iex> Alcove.stream!(["yes"], lines: true) |> Enum.take(2)
      ["y", "y"]

  `stdin:` may be an enumerable, such as another stream. It is enumerated while the program runs,
  in a process of its own, and no further than the program reads:

      iex> numbers = Stream.map(1..100_000, &"#{&1}\n")
      iex> Alcove.stream!(["grep", "99999"], stdin: numbers) |> Enum.to_list()
      ["99999\n"]

  If a program ends with a status other than 0 or was killed, the stream raises `Alcove.Error` after
  all output was read. With `exit: :element` the last element says how the program ended instead:

      iex> Alcove.stream!(["sh", "-c", "echo out; exit 3"], exit: :element) |> Enum.to_list()
      ["out\n", {:exit, 3}]

  `Enum.into/2` writes what an enumerable yields to the program, and returns when the program has
  ended:

      iex> path = Path.join(System.tmp_dir!(), "alcove-stream-#{System.pid()}")
      iex> Enum.into(["b\n", "a\n"], Alcove.stream!(["sort"], stdout: {:file, path}))
      iex> {File.read!(path), File.rm!(path)}
      {"a\nb\n", :ok}

  ## Options

    * `stdin:` - an enumerable of strings or iodata, or what `run/3` takes
    * `lines:` - `true` for elements that are lines, without their ends, or the largest number of
      bytes of one: a longer line comes in pieces of that size
    * `stderr:` - `:stream` for elements `{:stdout, data}` and `{:stderr, data}`, or what `run/3`
      takes. By default the first 64 KiB are in the exception
    * `exit:` - `:raise` or `:element`: the last element is `{:exit, status}`, where `status` is 0
      to 255, `{:termsig, signal}` or `{:error, reason}`
    * all others of `run/3`, except `active:` and `owner:`
  """
  @spec stream!(String.t() | drv, argv | [], options) :: Alcove.Stream.t()
  def stream!(program_or_drv, arguments, options) do
    program_or_drv |> Command.new(arguments, options) |> Alcove.Stream.new()
  end

  @spec wrong(atom, term) :: no_return
  defp wrong(name, value), do: raise(ArgumentError, Command.wrong({name, value}))
end
