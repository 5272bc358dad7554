defmodule Alcove.Sandbox do
  @moduledoc """
  Runs programs that aren't trusted.

      {:ok, result} =
        Alcove.Sandbox.run(["python3", "-c", "print(6 * 7)"], limits: [wall_time: 5000])
      result.stdout
      #=> "42\\n"

  The program is in namespaces of its own, in a new root directory that holds the programs and
  libraries of the machine, read-only, and a `/tmp` of its own. It runs as a user that no other
  process has, without network or capabilities and without a way to get any, under a filter of
  system calls, and with limits of memory, processes, time and output. See `:alcove_sandbox` for the
  options, and [what holds](sandbox.md).

  ## What to run

  As with `Alcove.run/3`: a list, a program and its arguments, or a Drv and a list.

  ## Options

  The keys of a spec of `:alcove_sandbox`, as keywords or a map:

    * `root:` - `:tmpfs`, `{:ro, dir}` or `{:overlay, dir}`
    * `mounts:` - what is inside: `[:system, :proc, :dev, {:tmpfs, "/tmp"}, {:ro, dir, "/data"}]`
    * `limits:` - `memory:`, `pids:`, `cpu_time:` in seconds, `wall_time:` in milliseconds and so
      on, as keywords or a map
    * `network:` - `:none`, `:host`, or where Drv is root
      `[bridge: "br0", address: "10.0.0.2/24", gateway: "10.0.0.1"]`, keywords or a map
    * `listen:` - `[{:tcp, {127, 0, 0, 1}, 8080}, {:unix, path}]`, sockets that take connections for
      the program, as sd_listen_fds(3) has them
    * `ids:` - `:own`, or `:subordinate` for the ids that /etc/subuid gives an ordinary user
    * `env:`, `cwd:`, `home:`, `hostname:`, `user:`, `seccomp:`
    * `best_effort:` - whether to do without what this machine lacks

  and of `:alcove_proc`, `stdin:`, `stdout:`, `stderr:`, `pty:` and others. A wrong option raises
  `ArgumentError`.

  ## Results

  Results are those of `Alcove.run/3`. `limit` is the name of the limit that ended the program, and
  `more.sandbox` says which restrictions were in force.
  """

  alias Alcove.{Command, Result}

  @doc """
  Runs a program in a sandbox and returns when it has ended, and all that it has started.

  See `run/3`.
  """
  @spec run(Alcove.argv() | String.t() | Alcove.drv(), Alcove.options() | Alcove.argv()) ::
          {:ok, Result.t()} | {:error, Alcove.reason()}
  def run(command, options_or_arguments \\ []) do
    command |> Command.new(options_or_arguments) |> do_run()
  end

  @doc """
  Runs a program in a sandbox and returns when it has ended, and all that it has started.

  It is an error when a sandbox can't be had here, `{:error, {what, reason}}`, and when a limit of
  time or of output ended the program, `{:error, {:timeout, result}}` and
  `{:error, {{:output_limit, stream}, result}}`.
  """
  @spec run(String.t() | Alcove.drv(), Alcove.argv() | [], Alcove.options()) ::
          {:ok, Result.t()} | {:error, Alcove.reason()}
  def run(program_or_drv, arguments, options) do
    program_or_drv |> Command.new(arguments, options) |> do_run()
  end

  defp do_run(command), do: command |> call(:run) |> Command.outcome()

  @doc """
  As `run!/3`.
  """
  @spec run!(Alcove.argv() | String.t() | Alcove.drv(), Alcove.options() | Alcove.argv()) ::
          Result.t()
  def run!(command, options_or_arguments \\ []) do
    command |> Command.new(options_or_arguments) |> do_run!()
  end

  @doc """
  As `run/3`, and raises `Alcove.Error` unless the program ends with the status 0.
  """
  @spec run!(String.t() | Alcove.drv(), Alcove.argv() | [], Alcove.options()) :: Result.t()
  def run!(program_or_drv, arguments, options) do
    program_or_drv |> Command.new(arguments, options) |> do_run!()
  end

  defp do_run!(command), do: command |> call(:run) |> Command.success!(Command.program(command))

  @doc """
  Starts a program in a sandbox, linked to the caller, which gets its messages: see
  `:alcove_proc.start_link/3`, whose functions are for it.
  """
  @spec start_link(Alcove.argv(), Alcove.options()) :: {:ok, pid} | {:error, Alcove.reason()}
  def start_link(argv, options \\ []) when is_list(argv) do
    argv |> Command.new(options) |> call(:start_link)
  end

  @doc """
  A child of a supervisor: `{Alcove.Sandbox, {argv, options}}`. What it writes is discarded unless
  the options say else.
  """
  @spec child_spec({Alcove.argv(), Alcove.options()}) :: Supervisor.child_spec()
  def child_spec({argv, options}) when is_list(argv) do
    %{
      id: __MODULE__,
      start: {__MODULE__, :start_child, [:alcove_hidden.hide({argv, options})]},
      restart: :transient,
      shutdown: 20_000
    }
  end

  @doc false
  @spec start_child(:alcove_hidden.hidden()) :: {:ok, pid} | {:error, Alcove.reason()}
  def start_child(hidden) do
    {argv, options} = :alcove_hidden.reveal(hidden)
    argv |> Command.new(options) |> call(:start_child)
  end

  @doc """
  What is done for a spec, and what this machine lacks: see `:alcove_sandbox.explain/2`.

      {:ok, %{in_force: _, lacking: _, calls: _}} = Alcove.Sandbox.explain(network: :host)
  """
  @spec explain(Alcove.options()) :: {:ok, map} | {:error, Alcove.reason()}
  def explain(options \\ []) do
    command = Command.new(["true"], options)

    with {:ok, drv} <- Command.drv(command) do
      Command.checked(fn -> :alcove_sandbox.explain(drv, spec(command)) end)
    end
  end

  @doc """
  The program and the spec of an OCI bundle: see `:alcove_sandbox.from_oci/2`.

      {:ok, %{argv: argv, spec: spec}} = Alcove.Sandbox.from_oci("/bundle", decode: &JSON.decode!/1)
      {:ok, result} = Alcove.Sandbox.run(argv, spec)
  """
  @spec from_oci(:alcove_sandbox.bundle(), keyword | map) ::
          {:ok, map} | {:error, Alcove.reason()}
  def from_oci(bundle, options \\ []) do
    Command.checked(fn -> :alcove_sandbox.from_oci(bundle, Map.new(options)) end)
  end

  defp call(command, function) do
    with {:ok, drv} <- Command.drv(command) do
      Command.checked(fn ->
        apply(:alcove_sandbox, function, [drv, command.argv, spec(command)])
      end)
    end
  end

  defp spec(%Command{options: options}), do: Map.new(options, &entry/1)

  defp entry({:limits, limits}) when is_list(limits), do: {:limits, Map.new(limits)}
  defp entry({:network, network}) when is_list(network), do: {:network, Map.new(network)}
  defp entry(option), do: option
end
