defmodule Alcove.Lines do
  @moduledoc false
  # Cuts output that comes in pieces into lines.

  @enforce_keys [:max]
  # Newest first.
  defstruct [:max, pieces: [], size: 0]

  @type t :: %__MODULE__{max: pos_integer | :infinity, pieces: [binary], size: non_neg_integer}

  @doc """
  Starts with lines of any length, or of so many bytes: a longer line comes in several pieces.
  """
  @spec new(pos_integer | :infinity) :: t
  def new(max \\ :infinity), do: %__MODULE__{max: max}

  @doc """
  The lines, without their ends, that a piece completes.
  """
  @spec add(t, binary) :: {[binary], t}
  def add(lines, data) do
    {last, whole} = data |> :binary.split("\n", [:global]) |> List.pop_at(-1)

    {found, lines} =
      Enum.reduce(whole, {[], lines}, fn part, {found, lines} ->
        {cut, lines} = append(lines, part)
        {[take(lines) | cut ++ found], %{lines | pieces: [], size: 0}}
      end)

    {cut, lines} = append(lines, last)
    {Enum.reverse(cut ++ found), lines}
  end

  @doc """
  The last line, if it had no newline.
  """
  @spec rest(t) :: [binary]
  def rest(%__MODULE__{size: 0}), do: []
  def rest(lines), do: [take(lines)]

  # Cuts pieces off a line that is too long, newest first.
  defp append(%__MODULE__{max: max, size: size} = lines, part)
       when size + byte_size(part) > max do
    {head, tail} = :erlang.split_binary(part, max - size)
    {cut, rest} = append(%{lines | pieces: [], size: 0}, tail)
    {cut ++ [take(%{lines | pieces: [head | lines.pieces]})], rest}
  end

  defp append(lines, ""), do: {[], lines}

  defp append(lines, part) do
    {[], %{lines | pieces: [part | lines.pieces], size: lines.size + byte_size(part)}}
  end

  defp take(lines), do: lines.pieces |> Enum.reverse() |> IO.iodata_to_binary()
end
