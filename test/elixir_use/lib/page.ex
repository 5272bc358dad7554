defmodule Use.Page do
  # The examples of the page are run as those of this module.
  @page Path.join(System.fetch_env!("ALCOVE_DOCS"), "elixir.md")
  @external_resource @page
  @moduledoc File.read!(@page)
end
