defmodule Alcove.Error do
  @moduledoc """
  Raised by the functions with a `!`, when a program could not be run, was killed, or ended with
  another status than 0.

    * `:reason` - what `Alcove.run/3` returns in `{:error, reason}`, or `{:exit_status, n}` or
      `{:termsig, signal}`
    * `:result` - the `Alcove.Result` if the program has run, otherwise `nil`

  Neither the exception nor its message has the arguments or the environment of the program.
  """

  defexception [:reason, :result, :program]

  @type t :: %__MODULE__{
          reason: term,
          result: Alcove.Result.t() | nil,
          program: binary
        }

  @doc false
  @spec new(binary, term) :: t
  def new(program, {reason, %{status: _} = result}) do
    %__MODULE__{reason: reason, result: Alcove.Result.new(result), program: program}
  end

  def new(program, reason), do: %__MODULE__{reason: reason, program: program}

  @doc false
  @spec status(binary, Alcove.Result.t()) :: t
  def status(program, %Alcove.Result{status: {:termsig, _} = signal} = result) do
    %__MODULE__{reason: signal, result: result, program: program}
  end

  def status(program, %Alcove.Result{status: status} = result) do
    %__MODULE__{reason: {:exit_status, status}, result: result, program: program}
  end

  # How many bytes of a program's stderr are shown.
  @shown 2000

  @impl true
  def message(%__MODULE__{program: program, reason: reason, result: result}) do
    "#{program} #{what(reason)}#{complaint(result)}"
  end

  defp what({:exit_status, status}), do: "ended with the status #{status}"
  defp what({:termsig, signal}), do: "was ended by #{signal}"
  defp what(:timeout), do: "took too long and was killed"
  defp what({:output_limit, stream}), do: "wrote more to #{stream} than it may and was killed"
  defp what(reason), do: "has not run: #{:alcove.format_error(reason)}"

  defp complaint(%Alcove.Result{stderr: <<_, _::binary>> = text}) do
    text =
      case byte_size(text) do
        size when size > @shown -> "..." <> binary_part(text, size - @shown, @shown)
        _ -> text
      end

    if String.valid?(text), do: ":\n" <> String.trim_trailing(text), else: ": " <> inspect(text)
  end

  defp complaint(_), do: ""
end
