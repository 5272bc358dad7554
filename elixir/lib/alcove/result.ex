defmodule Alcove.Result do
  @moduledoc """
  The result of a program that has run.

    * `:status` - 0 to 255, or `{:termsig, signal}`
    * `:stdout`, `:stderr` - what it wrote, if that was collected
    * `:truncated` - the streams of which some output was dropped
    * `:wall_time`, `:user_time`, `:system_time` - microseconds: how long it ran, and its processor
      time
    * `:peak_memory` - bytes
    * `:os_pid` - its process id
    * `:limit` - the limit that ended it, if the way it ended tells: `:cpu`, `:fsize` or `:memory`;
      for `Alcove.Sandbox`, the name of one of its limits
    * `:cgroup` - the figures of its control group, with the option `cgroup:`
    * `:programs` - for `Alcove.pipe/3`, the results of the programs
    * `:statuses` - for `Alcove.pipe/3`, their statuses
    * `:more` - other entries, which depend on options
  """

  defstruct [
    :status,
    :stdout,
    :stderr,
    :wall_time,
    :user_time,
    :system_time,
    :peak_memory,
    :os_pid,
    :limit,
    :cgroup,
    :programs,
    :statuses,
    truncated: [],
    more: %{}
  ]

  @type status :: 0..255 | {:termsig, atom}
  @type t :: %__MODULE__{
          status: status,
          stdout: binary | nil,
          stderr: binary | nil,
          truncated: [:stdout | :stderr],
          wall_time: non_neg_integer,
          user_time: non_neg_integer | nil,
          system_time: non_neg_integer | nil,
          peak_memory: non_neg_integer | nil,
          os_pid: pos_integer,
          limit: atom,
          cgroup: map | nil,
          programs: [t] | nil,
          statuses: [status] | nil,
          more: map
        }

  @doc false
  @spec new(map) :: t
  def new(%{status: _} = result) do
    {known, more} = Map.split(result, Map.keys(%__MODULE__{}))
    all = struct!(__MODULE__, Map.put(known, :more, more))
    %{all | programs: all.programs && Enum.map(all.programs, &new/1)}
  end
end
