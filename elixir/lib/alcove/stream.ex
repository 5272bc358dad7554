defmodule Alcove.Stream do
  @moduledoc """
  What `Alcove.stream!/3` returns: a program that runs while the stream is read, or written to.
  """

  alias Alcove.{Command, Feeder, Lines}

  @enforce_keys [:command, :input, :lines, :tagged, :exit]
  defstruct [:command, :input, :lines, :tagged, :exit]

  @type t :: %__MODULE__{
          command: Command.t(),
          input: Enumerable.t() | nil,
          lines: pos_integer | :infinity | nil,
          tagged: boolean,
          exit: :raise | :element
        }

  # How many bytes of stderr are kept for the exception.
  @complaint 65_536

  @doc false
  @spec new(Command.t()) :: t
  def new(%Command{options: options} = command) do
    {lines, options} = Keyword.pop(options, :lines, false)
    {exit, options} = Keyword.pop(options, :exit, :raise)
    {stderr, options} = Keyword.pop(options, :stderr, {:collect, @complaint, :truncate})
    {input, options} = input(options)

    exit in [:raise, :element] || wrong(:exit, exit)

    for name <- [:active, :owner], value <- Keyword.get_values(options, name) do
      wrong(name, value)
    end

    stderr = if stderr == :stream, do: :message, else: stderr

    %__MODULE__{
      command: %{command | options: [stderr: stderr] ++ options},
      input: input,
      lines: lines(lines),
      tagged: stderr == :message,
      exit: exit
    }
  end

  defp lines(false), do: nil
  defp lines(true), do: :infinity
  defp lines(max) when is_integer(max) and max > 0, do: max
  defp lines(other), do: wrong(:lines, other)

  # Values that :alcove_proc takes as stdin are passed on. All others are enumerables.
  defp input(options) do
    case Keyword.pop(options, :stdin, :none) do
      {stdin, rest} when is_struct(stdin) or is_function(stdin) ->
        Enumerable.impl_for(stdin) || wrong(:stdin, stdin)
        {stdin, [stdin: :stream] ++ rest}

      {stdin, rest} ->
        {nil, [stdin: stdin] ++ rest}
    end
  end

  @spec wrong(atom, term) :: no_return
  defp wrong(name, value) do
    raise ArgumentError, Command.wrong({name, value})
  end

  # A program that is read: its process of :alcove_proc, what feeds it, and the lines that
  # have no end yet.
  defmodule Reading do
    @moduledoc false
    defstruct [:stream, :pid, :feeder, lines: %{}, phase: :reading]
  end

  @doc false
  def open(%__MODULE__{input: input} = stream) do
    pid = start(stream, [stdout: :message], active: false)
    %Reading{stream: stream, pid: pid, feeder: input && Feeder.start(pid, input)}
  end

  defp start(%__MODULE__{command: command}, defaults, more) do
    command = %{command | options: Keyword.merge(defaults, command.options)}

    case Command.call(command, :start, more) do
      {:ok, pid} -> pid
      {:error, reason} -> raise Alcove.Error.new(Command.program(command), reason)
    end
  end

  @doc false
  def next(%Reading{phase: :reading, stream: stream, pid: pid} = reading) do
    case :alcove_proc.read(pid) do
      {:ok, {name, data}} when stream.lines == nil ->
        {[tagged(stream, name, data)], reading}

      {:ok, {name, data}} ->
        lines = Map.get_lazy(reading.lines, name, fn -> Lines.new(stream.lines) end)
        {whole, lines} = Lines.add(lines, data)
        reading = %{reading | lines: Map.put(reading.lines, name, lines)}
        {Enum.map(whole, &tagged(stream, name, &1)), reading}

      :eof ->
        # What it wrote comes before what is raised.
        rest =
          for {name, lines} <- reading.lines, line <- Lines.rest(lines) do
            tagged(stream, name, line)
          end

        {rest, %{reading | phase: :ended}}
    end
  end

  def next(%Reading{phase: :ended, stream: stream, pid: pid, feeder: feeder} = reading) do
    outcome = :alcove_proc.await(pid)
    feeder && Feeder.stop!(feeder)

    case stream.exit do
      :element ->
        {[{:exit, status(outcome)}], %{reading | phase: :over}}

      :raise ->
        success!(stream, outcome)
        {:halt, %{reading | phase: :over}}
    end
  end

  def next(%Reading{phase: :over} = reading), do: {:halt, reading}

  defp success!(stream, outcome), do: Command.success!(outcome, Command.program(stream.command))

  defp tagged(%__MODULE__{tagged: true}, name, data), do: {name, data}
  defp tagged(_stream, _name, data), do: data

  defp status({:ok, %{status: status}}), do: status
  defp status({:error, {reason, %{status: _}}}), do: {:error, reason}
  defp status({:error, reason}), do: {:error, reason}

  @doc false
  def close(%Reading{phase: :over}), do: :ok

  def close(%Reading{stream: stream, pid: pid, feeder: feeder}) do
    feeder && Feeder.stop(feeder)
    Command.halt(stream.command, pid)
  end

  @doc false
  def collector(%__MODULE__{} = stream) do
    pid = start(%{stream | input: nil}, [stdout: :discard], stdin: :stream)

    {pid,
     fn
       pid, {:cont, data} ->
         # A program that needs no more may have ended well.
         _ = :alcove_proc.write(pid, data)
         pid

       pid, :done ->
         _ = :alcove_proc.eof(pid)
         outcome = :alcove_proc.await(pid)
         if stream.exit == :raise, do: success!(stream, outcome)
         stream

       pid, :halt ->
         Command.halt(stream.command, pid)
     end}
  end
end

defimpl Enumerable, for: Alcove.Stream do
  def reduce(stream, acc, fun) do
    resource =
      Stream.resource(
        fn -> Alcove.Stream.open(stream) end,
        &Alcove.Stream.next/1,
        &Alcove.Stream.close/1
      )

    Enumerable.reduce(resource, acc, fun)
  end

  def count(_stream), do: {:error, __MODULE__}
  def member?(_stream, _element), do: {:error, __MODULE__}
  def slice(_stream), do: {:error, __MODULE__}
end

defimpl Collectable, for: Alcove.Stream do
  def into(stream), do: Alcove.Stream.collector(stream)
end
