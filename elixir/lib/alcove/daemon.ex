defmodule Alcove.Daemon do
  @moduledoc """
  Keeps a program running, under a supervisor.

      children = [
        {Alcove.Daemon,
         argv: ["my-server", "--port", "4000"],
         name: MyApp.Server,
         log_output: :info,
         ready: {:tcp, 4000},
         backoff: {200, 30_000}}
      ]

  When its supervisor stops it, the daemon asks the program to end, and kills it after `grace:`.
  Nothing of the program is left then, nor when the daemon or the virtual machine is killed.

  ## Options

    * `argv:` - the program and its arguments, a list; required
    * `drv:` - the Drv, see `Alcove`
    * `name:` - as `GenServer.start_link/3` takes it
    * `id:`, `restart:`, `shutdown:` - of the child specification. The id is the name by default.
      `restart:` is `:transient`: a daemon whose program ends with the status 0 has done its work;
      `:permanent` for one that is never to end
    * `log_output:` - the level at which the lines that it writes are logged; `log_prefix:` comes
      before each, the program's name and a colon by default; `log_metadata:` is a keyword list
    * `ready:` - how the daemon finds that the program is up: `{:output, text_or_regex}` for a line
      that it writes, `{:tcp, port}`, `{:tcp, host, port}`, `{:unix, path}` for an address that
      takes connections, `{:file, path}` for a file that exists, or a function of no arguments that
      returns `true`. The supervisor only then starts the children after it
    * `ready_timeout:` - how long that may take, 30,000 milliseconds; after that the program is
      killed
    * `backoff:` - `{least, most}` milliseconds: if the program ends in another way than with the
      status 0, the daemon starts it again after a pause. The pause is doubled each time up to the
      most, and is the least again once the program has run for as long as the most. The supervisor
      doesn't notice. Without this option the daemon ends, and its supervisor starts it again at
      once
    * all others of `Alcove.run/3`, such as `env:`, `user:`, `cgroup:`, `grace:`

  If the program can't be started the first time, `start_link/1` returns an error.
  """

  use GenServer

  alias Alcove.Command

  @type server :: GenServer.server()

  # How often the daemon checks whether the program is ready, and how long one check may take.
  @look 50
  @connect 1000
  @ready_timeout 30_000
  # A longer line is logged in pieces.
  @line 8192
  # How long the end of a program may take after its grace.
  @ended 15_000
  @grace 5000

  @own [
    argv: nil,
    name: nil,
    log_output: nil,
    log_prefix: nil,
    log_metadata: [],
    ready: nil,
    ready_timeout: @ready_timeout,
    backoff: nil,
    restart: :transient,
    id: nil,
    shutdown: nil
  ]

  defstruct [
    :command,
    :own,
    :program,
    :ref,
    :outcome,
    :last,
    :since,
    :pause,
    :deadline,
    phase: :starting,
    restarts: 0
  ]

  @doc """
  A child specification for a supervisor.
  """
  @spec child_spec(keyword) :: Supervisor.child_spec()
  def child_spec(options) do
    %{
      id: options[:id] || options[:name] || __MODULE__,
      start: {__MODULE__, :start_child, [:alcove_hidden.hide(options)]},
      restart: options[:restart] || @own[:restart],
      shutdown: options[:shutdown] || (options[:grace] || @grace) + @ended
    }
  end

  @doc false
  @spec start_child(:alcove_hidden.hidden()) :: GenServer.on_start()
  def start_child(hidden), do: hidden |> :alcove_hidden.reveal() |> start_link()

  @doc """
  Starts a program, and returns when it is ready.

  `{:error, reason}` when it could not be started or has ended before it was ready, with a reason
  as of `Alcove.run/3`, `{:exit_status, n}`, `{:termsig, signal}`, or `{:not_ready, milliseconds}`.
  """
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(options) do
    own = own(options)
    command = options |> Keyword.drop(Keyword.keys(@own)) |> command(own)
    :ok = Command.check(command)
    named = if own.name, do: [name: own.name], else: []

    case GenServer.start_link(__MODULE__, {command, own}, named) do
      {:error, {:shutdown, reason}} -> {:error, reason}
      started -> started
    end
  end

  defp own(options) do
    Keyword.keyword?(options) ||
      raise ArgumentError, "expected keywords, got: #{Command.shown(options)}"

    own = @own |> Keyword.merge(Keyword.take(options, Keyword.keys(@own))) |> Map.new()

    wrong =
      Enum.find(own, fn
        {:argv, argv} -> not is_list(argv)
        {:log_output, level} -> not (is_nil(level) or level in levels())
        {:log_metadata, metadata} -> not Keyword.keyword?(metadata)
        {:ready, ready} -> not ready?(ready)
        {:ready_timeout, ms} -> not (is_integer(ms) and ms > 0)
        {:backoff, backoff} -> not backoff?(backoff)
        {:restart, restart} -> restart not in [:permanent, :transient, :temporary]
        _ -> false
      end)

    if wrong, do: raise(ArgumentError, Command.wrong(wrong))
    own
  end

  defp levels, do: [:debug, :info, :notice, :warning, :error, :critical, :alert, :emergency]

  defp ready?(nil), do: true
  defp ready?({:output, %Regex{}}), do: true
  defp ready?({:output, text}), do: is_binary(text)
  defp ready?({:tcp, port}), do: is_integer(port)
  defp ready?({:tcp, _host, port}), do: is_integer(port)
  defp ready?({kind, path}) when kind in [:unix, :file], do: is_binary(path)
  defp ready?(ready), do: is_function(ready, 0)

  defp backoff?(nil), do: true

  defp backoff?({least, most}),
    do: is_integer(least) and is_integer(most) and 0 < least and least <= most

  defp backoff?(_), do: false

  # Who reads lines gets them; otherwise what the program writes goes where the options say.
  defp command(options, own) do
    output = if own.log_output || match?({:output, _}, own.ready), do: :message, else: :discard
    defaults = [stdin: :none, stdout: output, stderr: output, lines: @line]
    command = Command.new(own.argv, options)
    %{command | options: Keyword.merge(defaults, command.options)}
  end

  @doc """
  What there is to know about a daemon.

    * `:phase` - `:starting`, `:ready` or `:waiting` for the next start
    * `:os_pid`, `:program` - the process id, and the process of `:alcove_proc`, of the program that
      runs, or `nil`
    * `:restarts` - how often it was started again
    * `:last` - how the program ended the last time: `{:ok, result}`, `{:error, reason}` or `nil`
  """
  @spec info(server) :: map
  def info(server), do: GenServer.call(server, :info)

  @doc """
  The process of the program, for the functions of `:alcove_proc`; `nil` when none runs.
  """
  @spec program(server) :: pid | nil
  def program(server), do: info(server).program

  @doc """
  The process id of the program, or `nil`.
  """
  @spec os_pid(server) :: pos_integer | nil
  def os_pid(server), do: info(server).os_pid

  @doc """
  Stops the program and its daemon.
  """
  @spec stop(server) :: :ok
  def stop(server), do: GenServer.stop(server, :normal, :infinity)

  @impl true
  def init({command, own}) do
    Process.flag(:trap_exit, true)
    state = %__MODULE__{command: command, own: own, pause: own.backoff && elem(own.backoff, 0)}

    with {:ok, state} <- started(state), {:ok, state} <- awaited(state) do
      {:ok, state}
    else
      # It is the caller's to judge, and not the log's.
      {:error, reason} -> {:stop, {:shutdown, reason}}
    end
  end

  defp started(%{command: command, own: own} = state) do
    case Command.call(command, :start, owner: self()) do
      {:ok, program} ->
        state = %{
          state
          | program: program,
            ref: Process.monitor(program),
            outcome: nil,
            since: now(),
            deadline: now() + own.ready_timeout,
            phase: :starting
        }

        {:ok, looked(state)}

      {:error, reason} ->
        {:error, reason}
    end
  end

  # The start of the daemon returns when the program is ready.
  defp awaited(%{phase: phase, program: program, ref: ref} = state) when phase != :ready do
    message =
      receive do
        {:alcove_proc, ^program, _} = message -> message
        {:DOWN, ^ref, _, _, _} = message -> message
        {:look, ^program} = message -> message
        {:EXIT, _, reason} -> {:stopped, reason}
      end

    case message do
      {:DOWN, _, _, _, reason} ->
        {:error, reason(ended(reason, state))}

      {:stopped, reason} ->
        _ = :alcove_proc.stop(program)
        {:error, reason}

      _ ->
        {:noreply, state} = handle_info(message, state)
        awaited(state)
    end
  end

  defp awaited(state), do: {:ok, state}

  @impl true
  def handle_call(:info, _from, state) do
    os_pid =
      case state.program && :alcove_proc.info(state.program) do
        %{os_pid: os_pid} -> os_pid
        _ -> nil
      end

    info = %{
      phase: state.phase,
      program: state.program,
      os_pid: os_pid,
      restarts: state.restarts,
      last: state.last && Command.outcome(state.last)
    }

    {:reply, info, state}
  end

  @impl true
  def handle_info({:alcove_proc, program, {:exit, outcome}}, %{program: program} = state) do
    {:noreply, %{state | outcome: outcome}}
  end

  def handle_info({:alcove_proc, program, {_stream, line}}, %{program: program} = state) do
    {:noreply, line |> String.trim_trailing("\n") |> heard(state)}
  end

  def handle_info({:DOWN, ref, _, _, reason}, %{ref: ref} = state) do
    state = ended(reason, state)
    reason = reason(state)

    if state.own.backoff && (reason != :normal or state.own.restart == :permanent) do
      {:noreply, paused(state)}
    else
      {:stop, reason, state}
    end
  end

  def handle_info({:look, program}, %{program: program, phase: :starting} = state) do
    {:noreply, looked(state)}
  end

  def handle_info(:start, %{phase: :waiting} = state) do
    case started(%{state | restarts: state.restarts + 1}) do
      {:ok, state} -> {:noreply, state}
      {:error, reason} -> {:noreply, paused(%{state | last: {:error, reason}})}
    end
  end

  def handle_info({:EXIT, _, reason}, state) when reason != :normal do
    {:stop, reason, state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, %{program: nil}), do: :ok

  def terminate(_reason, %{program: program} = state) do
    # What it says at its end is logged as well.
    {_, ref} = spawn_monitor(fn -> :alcove_proc.stop(program) end)
    last(state, ref)
  end

  defp last(%{program: program} = state, ref) do
    receive do
      {:alcove_proc, ^program, _} = message ->
        {:noreply, state} = handle_info(message, state)
        last(state, ref)

      {:DOWN, ^ref, _, _, _} ->
        receive do
          {:DOWN, ref, _, _, reason} when ref == state.ref -> _ = ended(reason, state)
        after
          0 -> :ok
        end

        :ok
    end
  end

  # Arguments and environments are no business of a log.
  @impl true
  def format_status(_reason, [_dictionary, state]) do
    %{phase: state.phase, program: state.program, restarts: state.restarts}
  end

  defp now, do: System.monotonic_time(:millisecond)

  defp ended(reason, state) do
    outcome = state.outcome || {:error, {:process, reason}}
    %{state | program: nil, ref: nil, outcome: outcome, last: outcome}
  end

  # The reason with which a program that has ended like this ends its daemon.
  defp reason(%{phase: {:not_ready, _} = late}), do: late
  defp reason(%{outcome: {:ok, %{status: 0}}}), do: :normal
  defp reason(%{outcome: {:ok, %{status: {:termsig, _} = signal}}}), do: signal
  defp reason(%{outcome: {:ok, %{status: status}}}), do: {:exit_status, status}
  defp reason(%{outcome: {:error, {reason, %{status: _}}}}), do: reason
  defp reason(%{outcome: {:error, reason}}), do: reason

  defp paused(%{own: %{backoff: {least, most}}} = state) do
    pause = if state.since && now() - state.since >= most, do: least, else: state.pause
    Process.send_after(self(), :start, pause)
    %{state | phase: :waiting, pause: min(2 * pause, most), since: nil}
  end

  defp heard(line, %{own: own} = state) do
    if own.log_output do
      prefix = own.log_prefix || "#{Path.basename(Command.program(state.command))}: "
      :logger.log(own.log_output, "~ts", [prefix <> text(line)], Map.new(own.log_metadata))
    end

    case {state.phase, own.ready} do
      {:starting, {:output, expected}} ->
        if line =~ expected, do: %{state | phase: :ready}, else: state

      _ ->
        state
    end
  end

  # What isn't UTF-8 is logged as Latin-1.
  defp text(line) do
    if String.valid?(line), do: line, else: :unicode.characters_to_binary(line, :latin1)
  end

  defp looked(%{own: %{ready: nil}} = state), do: %{state | phase: :ready}

  defp looked(%{own: own, program: program} = state) do
    cond do
      up?(own.ready) ->
        %{state | phase: :ready}

      now() >= state.deadline ->
        # Its end is told as any other.
        spawn(fn -> :alcove_proc.stop(program) end)
        %{state | phase: {:not_ready, own.ready_timeout}}

      true ->
        Process.send_after(self(), {:look, program}, @look)
        state
    end
  end

  defp up?({:output, _}), do: false
  defp up?({:file, path}), do: File.exists?(path)
  defp up?({:tcp, port}), do: up?({:tcp, {127, 0, 0, 1}, port})
  defp up?({:unix, path}), do: up?({:tcp, {:local, path}, 0})

  defp up?({:tcp, host, port}) do
    host = if is_binary(host), do: String.to_charlist(host), else: host

    case :gen_tcp.connect(host, port, [], @connect) do
      {:ok, socket} -> :gen_tcp.close(socket) == :ok
      {:error, _} -> false
    end
  end

  defp up?(ready) when is_function(ready), do: ready.() == true
end
