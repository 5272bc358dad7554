defmodule Alcove.Command do
  @moduledoc false
  # What the functions of Alcove take: what to run, on which Drv, and how.

  @enforce_keys [:drv, :argv, :options]
  defstruct [:drv, :argv, :options]

  # A nil Drv is that of the application.
  @type t :: %__MODULE__{drv: Alcove.drv() | nil, argv: Alcove.argv(), options: keyword}

  @doc """
  `argv, options`; `program, arguments`.
  """
  @spec new(term, term) :: t
  def new(argv, options) when is_list(argv), do: command(nil, argv, options)
  def new(program, arguments), do: new(program, arguments, [])

  @doc """
  `program, arguments, options`; `drv, argv, options`.
  """
  @spec new(term, term, term) :: t
  def new(program, arguments, options) when is_binary(program) and is_list(arguments) do
    command(nil, [program | arguments], options)
  end

  def new(argv, _arguments, _options) when is_list(argv) do
    raise ArgumentError, "expected a program or a Drv before the list of arguments, got a list"
  end

  def new(drv, argv, options), do: command(drv, argv, options)

  # An option that is nil counts as not given.
  defp command(drv, argv, options) do
    options = for {name, value} <- keyword(options), value != nil, do: {name, value}
    {given, options} = Keyword.pop(options, :drv)
    %__MODULE__{drv: drv || given, argv: argv, options: options}
  end

  @doc """
  Programs that are joined by pipes, each a list or a list with options: `programs, options`.
  """
  @spec pipe(Alcove.drv() | nil, term, term) :: t
  def pipe(drv, programs, options) when is_list(programs) do
    command = command(drv, programs, options)
    %{command | argv: Enum.map(programs, &piped/1)}
  end

  def pipe(_drv, programs, _options) do
    raise ArgumentError, "expected a list of programs, got: #{shown(programs)}"
  end

  # Arguments and variables may be secrets, which no error shows.
  @doc false
  @spec shown(term) :: String.t()
  def shown(term), do: term |> :alcove_text.shown() |> inspect()

  defp piped({argv, options}) do
    {argv, for({name, value} <- keyword(options), value != nil, do: {name, value})}
  end

  defp piped(argv), do: argv

  defp keyword(options) when is_map(options) and not is_struct(options), do: Map.to_list(options)

  defp keyword(options) do
    if Keyword.keyword?(options) do
      options
    else
      raise ArgumentError, "expected options as keywords or a map, got: #{shown(options)}"
    end
  end

  @doc """
  The name of the program, for messages.
  """
  @spec program(t) :: binary
  def program(%__MODULE__{argv: [program | _]}), do: name(program)

  @doc """
  The names of the programs that are joined by pipes, for messages.
  """
  @spec pipeline(t) :: binary
  def pipeline(%__MODULE__{argv: programs}) do
    Enum.map_join(programs, " | ", fn
      {[program | _], _options} -> name(program)
      [program | _] -> name(program)
    end)
  end

  defp name(program) do
    case :unicode.characters_to_binary(program) do
      name when is_binary(name) -> name
      _ -> inspect(program)
    end
  end

  @doc """
  Calls a function of :alcove_proc with the command.
  """
  @spec call(t, :run | :pipe | :start | :start_link, keyword) :: term
  def call(command, function, more \\ [])

  def call(%__MODULE__{argv: argv, options: options} = command, function, more) do
    with {:ok, drv} <- drv(command) do
      checked(fn -> apply(:alcove_proc, function, [drv, argv, Keyword.merge(options, more)]) end)
    end
  end

  @doc """
  On which Drv.
  """
  @spec drv(t) :: {:ok, Alcove.drv()} | {:error, {:drv, term}}
  def drv(%__MODULE__{drv: nil}) do
    case :alcove_drv.default() do
      {:ok, drv} -> {:ok, drv}
      {:error, reason} -> {:error, {:drv, reason}}
    end
  end

  def drv(%__MODULE__{drv: drv}), do: {:ok, drv}

  @doc """
  Raises for what can't be run.
  """
  @spec check(t) :: :ok
  def check(%__MODULE__{drv: drv, argv: argv, options: options}) do
    _ = checked(fn -> :alcove_proc.child_spec({drv || self(), argv, options}) end)
    :ok
  end

  @doc """
  Makes what is wrong with options the exception that Elixir's own functions raise.
  """
  @spec checked((() -> term)) :: term
  def checked(fun) do
    fun.()
  catch
    :error, {:badarg, option} -> reraise ArgumentError, wrong(option), __STACKTRACE__
  end

  @doc """
  Why an option is refused.
  """
  @spec wrong(term) :: String.t()
  def wrong({:argv, text}) when is_binary(text), do: text

  def wrong({:drv, drv}), do: "not a Drv: #{inspect(drv)}"

  def wrong({:programs, text}) when is_binary(text), do: text

  def wrong({:program, {place, option}}) when is_integer(place) do
    "program #{place} of the pipeline: #{wrong(option)}"
  end

  def wrong({_name, {:pipe, _why}} = option) do
    to_string(:alcove.format_error({:badarg, option}))
  end

  # What may be a secret isn't shown.
  def wrong({name, _}) when name in [:env, :stdin, :setup, :meta] do
    "the option #{inspect(name)} has a wrong value"
  end

  def wrong({:file, path, _data}), do: "the file #{inspect(path)} of :mounts has a wrong value"

  def wrong({name, value}) when is_atom(name) do
    "not an option, or one with a wrong value: #{name}: #{inspect(value)}"
  end

  def wrong(other), do: "not an option: #{inspect(other)}"

  @doc """
  What :alcove_proc says of an end.
  """
  @spec outcome({:ok, map} | {:error, term}) :: {:ok, Alcove.Result.t()} | {:error, term}
  def outcome({:ok, result}), do: {:ok, Alcove.Result.new(result)}

  def outcome({:error, {reason, %{status: _} = result}}) do
    {:error, {reason, Alcove.Result.new(result)}}
  end

  def outcome({:error, reason}), do: {:error, reason}

  @doc """
  The result of a success, which an exit status of 0 is; raises the exception for another end.
  """
  @spec success!({:ok, map} | {:error, term}, binary) :: Alcove.Result.t()
  def success!({:ok, result}, program) do
    case Alcove.Result.new(result) do
      %Alcove.Result{status: 0} = success -> success
      failure -> raise Alcove.Error.status(program, failure)
    end
  end

  def success!({:error, reason}, program), do: raise(Alcove.Error.new(program, reason))

  @doc """
  Ends a program of which nobody wants anything any more; with `grace:` it may end by itself.
  """
  @spec halt(t, pid) :: :ok
  def halt(%__MODULE__{options: options}, pid) do
    spawn(fn ->
      if Keyword.has_key?(options, :grace),
        do: :alcove_proc.stop(pid),
        else: :alcove_proc.stop(pid, 0)
    end)

    # Its end is told when what it wrote was taken.
    drain(pid)
    _ = :alcove_proc.await(pid)
    :ok
  end

  defp drain(pid) do
    case :alcove_proc.read(pid) do
      {:ok, _} -> drain(pid)
      _ -> :ok
    end
  end
end
