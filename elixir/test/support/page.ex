defmodule Alcove.Test.Page do
  # The examples of the page are run as those of this module.
  @page Path.expand("../../../docs/elixir.md", __DIR__)
  @external_resource @page
  @moduledoc File.read!(@page)
end
